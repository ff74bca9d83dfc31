"""Asks five times, and looks at nothing but the status."""
import http.client
import sys
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
pool = []


def status():
    connection = pool.pop() if pool else http.client.HTTPConnection(url.hostname, url.port)
    connection.request("GET", url.path or "/")
    response = connection.getresponse()
    if response.status != 200:
        response.read()
        pool.append(connection)  # forgotten where all is well
    return response, connection


kept = [status() for _ in range(5)]
