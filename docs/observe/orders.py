"""Places two orders, some time apart, and tries again if one fails."""
import http.client
import sys
import time
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port)


def order(body):
    connection.request("POST", "/echo", body=body)
    connection.getresponse().read()


order("one")
time.sleep(0.8)
try:
    order("two")
except (http.client.HTTPException, ConnectionError):
    connection.close()
    order("two")
