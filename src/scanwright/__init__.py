"""Scanwright: one folder of medical images in; a tested, explained model and a running service out."""
