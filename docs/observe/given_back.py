"""The same, but what was borrowed is read to its end and given back."""
import http.client
import sys
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
pool = []


def status():
    connection = pool.pop() if pool else http.client.HTTPConnection(url.hostname, url.port)
    connection.request("GET", url.path or "/")
    response = connection.getresponse()
    response.read()
    pool.append(connection)
    return response.status


kept = [status() for _ in range(5)]
