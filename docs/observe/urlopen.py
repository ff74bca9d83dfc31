"""Asks five times, with the function that every tutorial shows first."""
import sys
from urllib.request import urlopen

for _ in range(5):
    with urlopen(sys.argv[1]) as response:
        response.read()
