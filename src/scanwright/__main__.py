"""``python -m scanwright``, which torchrun needs."""

from scanwright.cli import main

main()
