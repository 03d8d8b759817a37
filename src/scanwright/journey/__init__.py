"""The stages of a run: each works in a run folder, does its work once and enters it in the ledger."""
