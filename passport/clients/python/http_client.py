"""http_client.py PAUSE URL...: fetches one after the other; a POST each if BODY is set."""
import http.client
import os
import sys
import time
from urllib.parse import urlsplit

body = os.environ.get("BODY")
pause, *urls = sys.argv[1:]
connection, failed = http.client.HTTPConnection(urlsplit(urls[0]).netloc), False
for number, url in enumerate(urls):
    time.sleep(float(pause) if number else 0)
    try:
        connection.request("POST" if body else "GET", urlsplit(url).path, body)
        sys.stdout.buffer.write(connection.getresponse().read())
    except Exception as error:
        print(repr(error), file=sys.stderr)
        failed = True
        connection.close()
sys.exit(failed)
