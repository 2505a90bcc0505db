"""What the tests of the commands that train have in common: checks, and pictures made on the spot."""
import io
import struct
import subprocess
import sys
import tarfile
import zlib

COLOURS = {"green": (60, 190, 80), "red": (200, 60, 50)}



class Suite:
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

    def run(self, *arguments):
        return subprocess.run([self.sparkc, *map(str, arguments), "--cache-dir", "cache"], text=True,
                              cwd=self.folder, capture_output=True, timeout=300)


def png(numbers, colour, side=20):
    """Noise around a colour."""
    rows = b"".join(b"\0" + bytes(min(255, max(0, value + numbers.randint(-50, 50)))
                                  for _ in range(side) for value in colour) for _ in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make_folders(folder, numbers, count):
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i:03}.png").write_bytes(png(numbers, colour))


def make_shard(path, entries):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
