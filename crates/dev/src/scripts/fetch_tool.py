"""Fetches one executable out of a wheel on PyPI: fetch_tool.py NAME VERSION TARGET.

Stands alone on the standard library of Python 3.11, because it runs before there is an installer.
"""

import hashlib
import io
import json
import os
import platform
import ssl
import sys
import urllib.request
import zipfile


def open_url(url, accept="*/*"):
    certificates = [os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CERT")]
    certificates.append("/etc/ssl/certs/ca-certificates.crt")
    found = next((path for path in certificates if path and os.path.isfile(path)), None)
    context = ssl.create_default_context(cafile=found)
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "coluber-dev"})
    return urllib.request.urlopen(request, context=context, timeout=180)


def main():
    name, version, target = sys.argv[1:]
    index = os.environ.get("UV_INDEX_URL") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    with open_url(f"{index.rstrip('/')}/{name}/", "application/vnd.pypi.simple.v1+json") as answer:
        listing, base = json.load(answer), answer.url
    machine = platform.machine()
    for file in listing["files"]:
        filename = file["filename"]
        if filename.startswith(f"{name}-{version}-") and "manylinux" in filename and machine in filename:
            break
    else:
        sys.exit(f"no wheel of {name} {version} for {machine} on {index}")
    with open_url(urllib.request.urljoin(base, file["url"])) as answer:
        data = answer.read()
    expected = file["hashes"]["sha256"]
    if hashlib.sha256(data).hexdigest() != expected:
        sys.exit(f"{filename}: the checksum is not {expected}")
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
