"""What `ebbtide up` says at its start."""

from collections.abc import Mapping

from ebbtide.serving import Options, shown_url
from fleet.cluster.local.gpus import Gpus
from fleet.model import Fleet

__all__ = ["greeting"]


def greeting(
    options: Options, fleet: Fleet, gpus: Gpus, *, port: int, admin_port: int
) -> Mapping[str, str]:
    """Where it is reached, what it counts on, and the models there are."""
    models = [revision.model for revision in fleet.revisions.values()]
    tls = bool(options.settings.tls_cert)
    return {
        "requests": shown_url(options.host, port, tls=tls),
        "admin": shown_url(options.admin_host, admin_port),
        "GPUs": _told(gpus),
        "models": ", ".join(models) or "none yet: manifests are watched",
    }


def _told(gpus: Gpus) -> str:
    if not gpus.counted:
        return "0 (nvidia-smi shows none; --gpus N counts N that need not be there)"
    return f"{len(gpus.ids)}{'' if gpus.real or not gpus.ids else ' (counted, not real)'}"
