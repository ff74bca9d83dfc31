"""aiohttp_client.py PAUSE URL...: fetches one after the other; a POST each if BODY is set."""
import asyncio
import os
import sys

import aiohttp


async def main(pause, *urls):
    body, failed = os.environ.get("BODY"), False
    async with aiohttp.ClientSession() as session:
        for number, url in enumerate(urls):
            await asyncio.sleep(float(pause) if number else 0)
            try:
                async with session.request("POST" if body else "GET", url, data=body) as response:
                    sys.stdout.buffer.write(await response.read())
            except Exception as error:
                print(repr(error), file=sys.stderr)
                failed = True
    return failed


sys.exit(asyncio.run(main(*sys.argv[1:])))
