"""A Dask cluster: where its scheduler is, and by which certificates it is spoken to."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbec_bayes.runtime.errors import InputError

_SECURED = ("tls://", "wss://")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Dask cluster.

    Attributes
    ----------
    address
        Address of the scheduler, as in ``tcp://host:8786`` or ``tls://host:8786``.
    ca
        File of the certificates, as PEM, of those who may sign the scheduler's own; for a ``tls://`` address.
    certificate
        File of one's own certificate, as PEM.
    key
        File of its key; None where the key is in the same file.

    Where no file is given, those of Dask's own configuration are used.
    """

    address: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @contextmanager
    def connect(self, patience: str) -> Iterator[Any]:
        """Return a client for as long as it is needed; `patience` is how long the scheduler has to answer.

        Raises
        ------
        InputError
            Dask is not installed; there is no scheduler at the address; a certificate is missing or of no use.
        """
        try:
            from distributed import Client
        except ImportError:
            raise InputError("a scheduler needs Dask: install `cbec-bayes[cluster]`") from None
        security = self._security()
        _keep_log()
        try:
            # Not the default of this process, or xarray would ask the scheduler for a lock to write a file in memory.
            client = Client(self.address, timeout=patience, security=security, set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"no Dask scheduler answers at '{self.address}' ({_reason(error)})") from None
        with client:
            yield client

    def _security(self) -> Any:
        """Return what Dask needs to speak to the scheduler; None for one that is not secured."""
        import ssl

        from distributed.security import Security

        secured = self.address.lower().startswith(_SECURED)
        files = {"--tls-ca": self.ca, "--tls-cert": self.certificate, "--tls-key": self.key}
        if not secured:
            if any(path is not None for path in files.values()):
                raise InputError(f"certificates apply to a tls:// address only, and '{self.address}' is not one")
            return None
        for option, path in files.items():
            if path is not None and not os.path.isfile(path):
                raise InputError(f"{option}: no such file", file=path)
        given = {"tls_ca_file": self.ca, "tls_client_cert": self.certificate, "tls_client_key": self.key}
        security = Security(require_encryption=True, **{name: str(path) for name, path in given.items() if path})
        try:
            context = security.get_connection_args("client")["ssl_context"]
        except (ssl.SSLError, OSError, ValueError) as error:
            raise InputError(f"the certificates cannot be used ({_reason(error)})", file=self.certificate) from None
        if context is None:
            raise InputError("a tls:// scheduler needs certificates: --tls-ca, --tls-cert and --tls-key")
        return security


def _reason(error: Exception) -> str:
    """Return why a connection failed, in a few words."""
    first = str(error).strip().partition("\n")[0]
    name = type(error).__name__
    return f"{name}: {first}"[:160] if first and isinstance(error, TypeError | RuntimeError | ValueError) else name


def _keep_log() -> None:
    """Have Dask log what ends a connection nowhere: it is said in one line, without its threads' tracebacks."""
    for name in ("distributed", "distributed.comm", "distributed.core", "distributed.client", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
