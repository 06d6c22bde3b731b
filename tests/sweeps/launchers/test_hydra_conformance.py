"""Hydra's own suites for launchers, against ours."""

import pytest
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

Plugins.instance()


# Named, since train.py makes others the default for the whole process
BASIC = ["hydra/sweeper=basic", "hydra/job_logging=default", "hydra/hydra_logging=default"]


@pytest.mark.parametrize("launcher_name, overrides", [("local", BASIC)])
class TestLocalLauncher(LauncherTestSuite):
    """In one process with the controller's tests."""


@pytest.mark.parametrize("task_launcher_cfg, extra_flags", [({}, ["-m", "hydra/launcher=local"])])
class TestLocalLauncherIntegration(IntegrationTestSuite):
    """Whole programs."""
