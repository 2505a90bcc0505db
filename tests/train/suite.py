"""What the runs of commands in this folder have in common: checks, commands, pictures, files."""
import io
import json
import re
import struct
import subprocess
import sys
import tarfile
import time
import zlib


class Suite:
    """Runs sparkc in a folder, and prints a line per check, as in TAP."""

    def __init__(self, sparkc, folder):
        self.sparkc, self.folder = sparkc, folder
        self.number = self.failed = 0

    def check(self, fine, words, *details):
        self.number += 1
        self.failed += not fine
        print(f"{'ok' if fine else 'not ok'} {self.number} - {words}")
        for line in [] if fine else "\n".join(map(str, details)).splitlines()[:40]:
            print(f"# {line}")
        sys.stdout.flush()
        return fine

    def command(self, *arguments):
        return [self.sparkc, *map(str, arguments)]

    def start(self, *arguments):
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments):
        return subprocess.run(self.command(*arguments), cwd=self.folder, text=True,
                              capture_output=True, timeout=600)

    def until_update(self, process, run, update):
        """Waits until a run's log has that many updates, or its process has ended."""
        log = self.folder / run / "log.jsonl"
        while process.poll() is None and not (
                log.exists() and log.read_text().count('"kind":"step"') >= update):
            time.sleep(0.001)

    def killed(self, process, resume, run, updates, numbers):
        """Kills a run by SIGKILL near each of those updates and resumes it; the process that goes on, and how many
        of the kills came before its end."""
        alive = 0
        for update in updates:
            self.until_update(process, run, update)
            time.sleep(0.005 * numbers.random())
            alive += process.poll() is None
            process.kill()
            process.communicate()
            process = self.start(*resume)
        return process, alive

    def fails(self, words, status, pattern, *arguments):
        """The command must end with that status and say that."""
        done = self.run(*arguments)
        self.check(done.returncode == status and re.search(pattern, done.stderr) is not None, words,
                   f"status {done.returncode}", done.stderr)

    def end(self):
        """The exit status of all."""
        print(f"1..{self.number}")
        return 1 if self.failed or self.number == 0 else 0


def png(width, height, pixel):
    """A PNG of the pixels (red, green, blue) that a function of x and y gives."""
    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in pixel(x, y))
                    for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def noise(numbers, colour, side=20):
    """A PNG of noise around a colour."""
    return png(side, side, lambda x, y: [min(255, max(0, value + numbers.randint(-50, 50)))
                                         for value in colour])


BAD_PNG = b"\x89PNG\r\n\x1a\nbroken"


def make_classes(folder, numbers, colours, count):
    """Folders of classes that differ in colour."""
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i:03}.png").write_bytes(noise(numbers, colour))


def make_shard(path, entries):
    """A tar shard of names and bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))


def tensors(path):
    """Header entries and bytes of a safetensors file."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return header, data[8 + length:]


def log_lines(folder, kind):
    """The lines of a run's log that are of a kind."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]
