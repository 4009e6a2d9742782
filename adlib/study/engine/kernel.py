"""Jupyter's side of `adlib.study.engine.forkserver`: kernels that are forked."""

from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from adlib.study.engine.forkserver import ForkedProcess


class ForkedKernel(LocalProvisioner):
    """Jupyter's part that starts a kernel."""

    async def launch_kernel(self, cmd: list[str], **options: object) -> dict:
        """Ask the server for a fork instead of starting a process."""
        self.process = ForkedProcess(cmd, options["env"], str(options.get("cwd") or Path.cwd()))
        self.pid = self.pgid = self.process.pid
        return self.connection_info


class ForkedKernelManager(AsyncKernelManager):
    """A kernel manager for `papermill.execute_notebook(kernel_manager_class=...)`."""

    async def _async_pre_start_kernel(self, **options: object) -> tuple:
        name = self.kernel_id
        self.provisioner = ForkedKernel(kernel_id=name, kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**options)
