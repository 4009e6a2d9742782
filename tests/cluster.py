"""A Slurm cluster of one node with two pretended GPUs, for the tests of the engine."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun")
CONFIG = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:2
PartitionName=main Nodes={host} Default=YES
"""


def missing():
    """Why no cluster can be started here; "" where one can."""
    lacking = [name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin")]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root here"


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def one_node(folder):
    """Start the daemons in `folder`; yields the variables by which Slurm's commands find them."""
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for number, device in enumerate(("null", "zero")):
        (folder / f"gpu{number}").symlink_to(f"/dev/{device}")
    host = socket.gethostname().split(".")[0]
    config = folder / "slurm.conf"
    ports = {"controller": _free_port(), "node": _free_port()}
    config.write_text(CONFIG.format(folder=folder, host=host, **ports))
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-1]\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    # The plugin lets no SLURM_ variable through to `srun`.
    srun = folder / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={config} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    variables = {"SLURM_CONF": str(config), "PATH": path}
    munged = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    commands = [
        ["munged", "--foreground", f"--socket={folder}/munge.socket", *munged, "--force"],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config), "-N", host],
    ]
    with contextlib.ExitStack() as running:
        for command in commands:
            command[0] = shutil.which(command[0], path="/usr/sbin:/usr/bin")
            # Ends with this process, however that ends.
            started = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=os.environ | variables,
                stdout=subprocess.DEVNULL,
                stderr=(folder / f"{Path(command[0]).name}.err").open("w"),
            )
            running.callback(started.wait)
            running.callback(started.kill)
            if "munged" in command[0]:
                wait(lambda: (folder / "munge.socket").exists())
        wait(lambda: slurm(variables, "sinfo", "-h", "-t", "idle", "-o", "%T") == "idle")
        running.callback(_end_jobs, variables)
        yield variables


def slurm(variables, *command):
    """What a command of Slurm prints; "" while the daemons do not answer."""
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    return done.stdout.strip()


def wait(condition, seconds=300):
    """Wait until a condition holds, and give its value; what hangs fails."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return value


def _end_jobs(variables):
    slurm(variables, "scancel", "--signal=KILL", "--user=root")
    slurm(variables, "scancel", "--user=root")
    wait(lambda: not slurm(variables, "squeue", "-h"))
