"""The command line of a fit, in one process or in several: a list, which no shell ever sees."""

from __future__ import annotations

FIT = ("-m", "jobs.training.fit")
TORCHRUN = ("-m", "torch.distributed.run")


def here(python: str, processes: int) -> list[str]:
    """Return what starts a fit in one pod or on one machine."""
    if processes == 1:
        return [python, *FIT]
    return [python, *TORCHRUN, "--standalone", f"--nproc-per-node={processes}", *FIT]


def on_each_of(
    nodes: int, python: str, processes: int, rank: str, master: tuple[str, str], wait_seconds: int
) -> list[str]:
    """Return what starts a fit on each of several nodes.

    Args:
        nodes: how many there are.
        python: the interpreter.
        processes: of each node.
        rank: the number of this node; 0 leads.
        master: address and port of the node that leads.
        wait_seconds: how long the first of them may wait for the last.
    """
    address, port = master
    return [
        python, *TORCHRUN, f"--nnodes={nodes}", f"--nproc-per-node={processes}",
        f"--node-rank={rank}", f"--master-addr={address}", f"--master-port={port}",
        f"--rdzv-conf=timeout={wait_seconds}", *FIT,
    ]  # fmt: skip
