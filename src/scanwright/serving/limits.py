"""Every ceiling of the service in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

from scanwright.core.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may cost.

    Args:
        max_upload_mb: Whole body of a request, in MB (10**6 bytes), with or without Content-Length.
        max_files: Files in a request, counting the members of archives.
        max_cases: Cases in a request.
        max_unpacked_mb: All members of one archive, or one compressed file, unpacked.
        max_ratio: Unpacked over packed size, for anything that unpacks to more than 16 MB.
        max_megapixels: Pixels of a picture, in millions.
        max_megavoxels: Voxels of a volume times channels and frames, in millions.
        workers: Requests that are worked on at the same time.
        max_waiting: Further requests that may wait; more are told to come back.
        idle_s: Longest silence of a sender within a request, in seconds.
        read_s: Longest time to decode one case, in seconds.
        read_mb: Memory that decoding may take beyond what its process starts with, in MB.
        request_s: Time for a body to arrive, and then for its cases; what is open after that is given up.
        keep_s: How long pictures and heat maps can be fetched, in seconds.
        keep_mb: Space for pictures and heat maps; the oldest go first.

    Raises:
        InputError: A limit is not a positive number.
    """

    max_upload_mb: float = 512.0
    max_files: int = 2000
    max_cases: int = 200
    max_unpacked_mb: float = 2048.0
    max_ratio: float = 200.0
    max_megapixels: float = 100.0
    max_megavoxels: float = 512.0
    workers: int = 2
    max_waiting: int = 8
    idle_s: float = 30.0
    read_s: float = 60.0
    read_mb: float = 6144.0
    request_s: float = 600.0
    keep_s: float = 3600.0
    keep_mb: float = 1024.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "max_waiting" else 1e-9
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
                raise InputError(
                    f"The limit {field.name} is {value!r}.",
                    "Limits of the service are positive numbers.",
                    f"Leave it out to use {field.default!r}.",
                )

    @property
    def max_upload_bytes(self) -> int:
        """Whole body of a request, in bytes."""
        return int(self.max_upload_mb * 1e6)

    @property
    def max_unpacked_bytes(self) -> int:
        """Whole content of an archive, in bytes."""
        return int(self.max_unpacked_mb * 1e6)
