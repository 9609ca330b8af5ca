"""Commands of the benchmarks. Each imports what it needs when it runs: `trellis --help` answers at once."""

import click


@click.command(
    epilog="""\b
    Examples:
      trellis simulate --seed 7
      trellis simulate --seed 7 --trace
      trellis simulate --seed 1 --bug broadcast_before_save
    """
)
@click.option("--seed", type=int, required=True, help="Which world. The same number tells the same story.")
@click.option("--payouts", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--trace", is_flag=True, help="Tell every event, not only the end.")
@click.option("--bug", default="", help="Plant one of the known bugs first; a wrong name lists them.")
def simulate(seed: int, payouts: int, trace: bool, bug: str) -> None:
    """Tell the story of one simulated world: faults, crashes, and what became of every payout."""
    from benchmarks.simulate import tell
    from benchmarks.simulating.planted import PLANTED
    from benchmarks.simulating.work import Job

    if bug and bug not in PLANTED:
        raise click.BadParameter(f"{bug} is none of {', '.join(PLANTED)}", param_hint="--bug")
    raise SystemExit(0 if tell(Job("planted" if bug else "seed", seed, bug, payouts, trace)) else 1)
