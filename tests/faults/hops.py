"""SQS with delays of many steps: each is of some seconds, where it otherwise would be of 15 minutes.

A worker process works so that is started with this module beside those of the tasks, and with FAULTS_STEP set.
"""

from __future__ import annotations

import os

from asyncdq.drivers.base import BaseDriver
from asyncdq.drivers.sqs import SQSDriver
from tests.integration.workers import Site

VARIABLE = "FAULTS_STEP"
MODULE = __name__

if VARIABLE in os.environ:
    SQSDriver.longest_delay = int(os.environ[VARIABLE])


def shortened(site: Site, seconds: int) -> tuple[str, ...]:
    """Make the steps of this site so short, of its client now and of workers that are started with these modules;
    none for a driver that takes no steps."""
    driver: BaseDriver = site.client.driver
    if not isinstance(driver, SQSDriver):
        return ()
    driver.longest_delay = seconds
    site.environment[VARIABLE] = f"{seconds}"
    return (MODULE,)
