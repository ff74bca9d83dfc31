"""Asks five times over one connection."""
import http.client
import sys
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port)
for _ in range(5):
    connection.request("GET", url.path or "/")
    connection.getresponse().read()
