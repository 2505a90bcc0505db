"""What the tests of pages share: a report of checks, pictures that headless chromium takes."""
import shutil
import subprocess
import sys
from pathlib import Path

SECONDS = 40


class Report:
    number = failed = 0

    def __call__(self, fine, words, *details):
        self.number += 1
        self.failed += not fine
        print(f"{'ok' if fine else 'not ok'} {self.number} - {words}")
        for line in () if fine else details:
            print(f"# {line}")


def find_browser():
    """chromium, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def take(browser, page, folder, scheme, width, height):
    """A picture of the page."""
    shot = Path(folder, f"{scheme}.png")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1",
         "--disable-background-networking", f"--user-data-dir={folder}/profile",
         f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
         f"--window-size={width},{height}", f"--screenshot={shot}", page.as_uri()],
        capture_output=True, text=True, timeout=SECONDS)
    if not shot.exists():
        sys.exit(f"Bail out! chromium drew nothing: {done.stderr[-2000:]}")
    return shot


def find(tool, shot, rows, off, *colors):
    """{colour: {column: (first row, last row, pixels)}}, and the colour of the page's corner."""
    found, corner = {color: {} for color in colors}, None
    lines = subprocess.run([tool, shot, str(rows), str(off), *colors], capture_output=True, text=True, check=True)
    for name, *rest in map(str.split, lines.stdout.splitlines()):
        if name in found:
            found[name][int(rest[0])] = tuple(map(int, rest[1:]))
        elif name == "corner":
            corner = rest[0]
    return found, corner
