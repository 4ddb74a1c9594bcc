"""Fetches one executable out of a wheel on PyPI: fetch_tool.py NAME VERSION TARGET.

Stands alone on the standard library of Python 3.11, because it runs before there is an installer.
"""

import hashlib
import html.parser
import io
import os
import platform
import ssl
import sys
import urllib.parse
import urllib.request
import zipfile


def open_url(url):
    certificates = [os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CERT")]
    certificates.append("/etc/ssl/certs/ca-certificates.crt")
    found = next((path for path in certificates if path and os.path.isfile(path)), None)
    context = ssl.create_default_context(cafile=found)
    # The HTML form of the index is the one that every mirror has.
    request = urllib.request.Request(url, headers={"Accept": "text/html", "User-Agent": "coluber-dev"})
    return urllib.request.urlopen(request, context=context, timeout=180)


class Links(html.parser.HTMLParser):
    """The addresses on a page of the simple index."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]


def main():
    name, version, target = sys.argv[1:]
    index = os.environ.get("UV_INDEX_URL") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    with open_url(f"{index.rstrip('/')}/{name}/") as answer:
        page, base = answer.read().decode(), answer.url
    links = Links()
    links.feed(page)
    machine = platform.machine()
    for link in links.found:
        address, _, fragment = link.partition("#")
        filename = address.rsplit("/", 1)[-1]
        if filename.startswith(f"{name}-{version}-") and "manylinux" in filename and machine in filename:
            break
    else:
        sys.exit(f"no wheel of {name} {version} for {machine} on {index}")
    with open_url(urllib.parse.urljoin(base, address)) as answer:
        data = answer.read()
    kind, _, expected = fragment.partition("=")
    if kind != "sha256" or hashlib.sha256(data).hexdigest() != expected:
        sys.exit(f"{filename}: the checksum is not {expected or 'known'}")
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        member = next(each for each in wheel.namelist() if each.endswith(f"/scripts/{name}"))
        content = wheel.read(member)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    scratch = f"{target}.{os.getpid()}"
    with open(scratch, "wb") as file:
        file.write(content)
    os.chmod(scratch, 0o755)
    os.replace(scratch, target)


main()
