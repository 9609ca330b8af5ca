"""What a start says when a part cannot start, and that it leaves nothing behind then."""

import socket
from pathlib import Path

import pytest
import ray

from actors import wiring
from actors.cluster import Cluster, ClusterError
from actors.settings import SettingsError, load
from engine.errors import Rejected


async def test_a_cluster_that_does_not_answer_is_known_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"127.0.0.1:{once.getsockname()[1]}"
    cluster = Cluster(load({"TRELLIS_HOME": str(tmp_path), "RAY_ADDRESS": address}))
    with pytest.raises(ClusterError, match=f"cannot join the Ray cluster at {address}: .*Connect call failed"):
        await cluster.start()


async def test_a_feed_without_recordings_says_so_and_leaves_no_venue(
    ray_cluster: Cluster, postgres_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").touch()
    settings = load({"TRELLIS_HOME": str(tmp_path / "home"), "TRELLIS_FEED": f"replay:{tmp_path}"})
    with pytest.raises(Rejected, match=r"the paper venue does not start: .*: no file's name tells an instrument"):
        await wiring.start_engine(settings, postgres_dsn)
    with pytest.raises(ValueError, match=wiring.VENUE_NAME):
        ray.get_actor(wiring.VENUE_NAME, namespace=wiring.NAMESPACE)


@pytest.mark.parametrize("host", ["h:port", "h:1,h:x", "me:pass/word@h"])
def test_a_database_address_with_a_word_for_a_port_is_refused_without_repeating_it(host: str) -> None:
    with pytest.raises(SettingsError, match=r"DATABASE_URL: \*\*\* has a port that is not a number") as refused:
        load({"DATABASE_URL": f"postgresql://{host}/trellis"})
    assert "pass" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize("url", ["u:p@h:5432/x", "u@h:1,h2:2/x", "[::1]:5432/x", "/x?host=/run/pg", "u@/x"])
def test_every_usual_form_of_a_database_address_is_taken(url: str) -> None:
    assert load({"DATABASE_URL": f"postgresql://{url}"}).database_url is not None
