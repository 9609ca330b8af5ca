"""The console."""


def main() -> None: ...
