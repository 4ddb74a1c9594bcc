"""Fetches from PyPI: ``pypi.py tool NAME VERSION TARGET`` one executable out of a wheel,
``pypi.py sdist NAME VERSION SHA256 TARGET`` the archive of a package's source.

Stands alone on the standard library of Python 3.11, because it runs before there is an installer.
"""

import hashlib
import html.parser
import io
import os
import platform
import re
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


def fetch(name, described, is_wanted):
    """The first file of the project whose name is wanted, and the checksum that the index gives."""
    index = os.environ.get("UV_INDEX_URL") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    with open_url(f"{index.rstrip('/')}/{name}/") as answer:
        page, base = answer.read().decode(), answer.url
    links = Links()
    links.feed(page)
    for link in links.found:
        address, _, fragment = link.partition("#")
        filename = address.rsplit("/", 1)[-1]
        if is_wanted(filename):
            break
    else:
        sys.exit(f"no {described} on {index}")
    with open_url(urllib.parse.urljoin(base, address)) as answer:
        data = answer.read()
    kind, _, expected = fragment.partition("=")
    if kind != "sha256" or hashlib.sha256(data).hexdigest() != expected:
        sys.exit(f"{filename}: the checksum is not {expected or 'known'}")
    return data, expected


def write(content, target, mode):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    scratch = f"{target}.{os.getpid()}"
    with open(scratch, "wb") as file:
        file.write(content)
    os.chmod(scratch, mode)
    os.replace(scratch, target)


def tool(name, version, target):
    machine = platform.machine()

    def is_wanted(filename):
        return filename.startswith(f"{name}-{version}-") and "manylinux" in filename and machine in filename

    data, _ = fetch(name, f"wheel of {name} {version} for {machine}", is_wanted)
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        member = next(each for each in wheel.namelist() if each.endswith(f"/scripts/{name}"))
        write(wheel.read(member), target, 0o755)


def sdist(name, version, checksum, target):
    def is_wanted(filename):
        # Projects spell their names differently in names of archives.
        return re.sub("[-_.]+", "-", filename.lower()) == re.sub("[-_.]+", "-", f"{name}-{version}.tar.gz".lower())

    data, found = fetch(name, f"source of {name} {version}", is_wanted)
    if found != checksum:
        sys.exit(f"{name} {version}: the checksum is {found}, not {checksum}")
    write(data, target, 0o644)


{"tool": tool, "sdist": sdist}[sys.argv[1]](*sys.argv[2:])
