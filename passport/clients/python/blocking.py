"""blocking.py LIBRARY PAUSE URL...: fetches one after the other; a POST each if BODY is set."""
import os
import sys
import time

body = os.environ.get("BODY")
method = "POST" if body else "GET"
library, pause, *urls = sys.argv[1:]
match library:
    case "requests":
        import requests
        session = requests.Session()
        fetch = lambda url: session.request(method, url, data=body).content
    case "urllib3":
        import urllib3
        pool = urllib3.PoolManager()
        fetch = lambda url: pool.request(method, url, body=body).data
    case "httpx":
        import httpx
        client = httpx.Client()
        fetch = lambda url: client.request(method, url, content=body).content
failed = False
for number, url in enumerate(urls):
    time.sleep(float(pause) if number else 0)
    try:
        sys.stdout.buffer.write(fetch(url))
    except Exception as error:
        print(repr(error), file=sys.stderr)
        failed = True
sys.exit(failed)
