"""A secured Dask cluster: certificates by option, and one line for whatever is wrong with them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbec_bayes.runtime.cluster import Cluster
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, fan_out, open_executor

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PATIENCE = "2s"


def squared(value: int) -> int:
    return value**2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own, which signs itself, and its key beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    folder = tmp_path_factory.mktemp("certificates")
    asked = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    subprocess.run(["openssl", *asked.split()], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def address(certificate: Path) -> Iterator[str]:
    from distributed import LocalCluster
    from distributed.security import Security

    files = {"cert": str(certificate), "key": str(certificate.with_name("key.pem"))}
    own = {f"tls_{role}_{part}": path for role in ("client", "scheduler", "worker") for part, path in files.items()}
    security = Security(tls_ca_file=files["cert"], require_encryption=True, **own)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", security=security, protocol="tls://", processes=False
    ) as started:
        yield started.scheduler_address


@pytest.mark.slow
def test_a_secured_cluster_gives_the_same(address, certificate):
    cluster = Cluster(address, certificate, certificate, certificate.with_name("key.pem"))
    with open_executor(scheduler=cluster) as secured:
        assert fan_out(secured, squared, range(5)) == fan_out(SERIAL, squared, range(5))


@pytest.mark.slow
def test_a_secured_cluster_is_refused_in_one_line(address, certificate):
    key = certificate.with_name("key.pem")
    for cluster, reason in (
        (Cluster(address), "needs certificates"),
        (Cluster(address, certificate, key), "the certificates cannot be used"),
        (Cluster(address.replace("tls://", "tcp://")), "no Dask scheduler answers at 'tcp://"),
        (
            Cluster(re.sub(r":\d+$", ":9", address), certificate, certificate, key),
            "no Dask scheduler answers at 'tls://",
        ),
    ):
        with pytest.raises(InputError, match=reason) as refused, cluster.connect(PATIENCE):
            pass
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("cluster", "reason"),
    [
        (Cluster("tls://127.0.0.1:9"), "a tls:// scheduler needs certificates: --tls-ca, --tls-cert and --tls-key"),
        (Cluster("tls://127.0.0.1:9", ca=Path("none.pem")), "none.pem: --tls-ca: no such file"),
        (Cluster("tcp://127.0.0.1:9", key=Path("none.pem")), "certificates apply to a tls:// address only"),
        (Cluster("smoke://127.0.0.1:9"), "no Dask scheduler answers at 'smoke://127.0.0.1:9'"),
    ],
)
def test_what_cannot_be_a_cluster(cluster, reason):
    with pytest.raises(InputError, match=re.escape(reason)), cluster.connect(PATIENCE):
        pass
