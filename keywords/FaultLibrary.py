# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that damage the serial line between the host and the device."""

from robot.api import logger
from robot.api.deco import keyword, library

from springbok import session
from springbok.link.fault_proxy import Direction, FaultProxy
from springbok.support.errors import LinkError


@library(scope="GLOBAL", auto_keywords=False)
class FaultLibrary:
    """Puts a bad cable between the host and the device: it flips, loses, doubles, swaps, echoes and delays bytes.

    Faults are armed and strike the bytes that come next in a direction: ``device`` (requests) or ``host`` (answers).
    ``after`` lets so many bytes pass first. Which bits flip depends on the seed alone.

    | Start Fault Proxy  | seed=1 |
    | Corrupt Next Bytes | 1 | direction=host |
    | ${outputs}=        | Infer | ${recording} | # comes all the same |
    | ${report}=         | Get Link Report |
    | [Teardown]         | Stop Fault Proxy |
    """

    def __init__(self) -> None:
        self._proxy: FaultProxy | None = None

    @keyword(tags=("faults",))
    def start_fault_proxy(self, url: str | None = None, seed: int = 0, extension: bool = True) -> str:
        """Connects the link through the bad cable and returns the cable's URL.

        | =Argument= | =Meaning= |
        | url        | of the device; by default the booted chip's UART |
        | seed       | decides which bits flip |
        | extension  | ``False`` speaks the base protocol over it |

        Example:
        | Start Fault Proxy | seed=7 |
        """
        self.stop_fault_proxy()
        shared = session.current
        shared.disconnect()
        self._proxy = FaultProxy(url or shared.need_engine().uart_url, seed)
        shared.connect(self._proxy.url, extension=extension)
        logger.info(f"The link goes through the cable at {self._proxy.url}, seed {seed}.")
        return self._proxy.url

    @keyword(tags=("faults",))
    def stop_fault_proxy(self) -> None:
        """Takes the cable away; the link is opened directly when it is next used. Harmless when there is none.

        Example:
        | [Teardown] | Stop Fault Proxy |
        """
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            link = session.current.link
            logger.info(f"Link: {link.report if link else 'closed'}")
            session.current.disconnect()
            logger.info(f"Faults that struck: {proxy.injected}; that still waited: {proxy.waiting}.")
            proxy.close()

    @keyword(tags=("faults",))
    def corrupt_next_bytes(self, count: int = 1, direction: str = "device", after: int = 0) -> None:
        """Flips one bit in each of the next ``count`` bytes.

        Example:
        | Corrupt Next Bytes | 3 | direction=host | after=16 |
        """
        self._need_proxy().corrupt(count, Direction(direction), after)

    @keyword(tags=("faults",))
    def drop(self, count: int = 1, direction: str = "device", after: int = 0) -> None:
        """Loses the next ``count`` bytes.

        Example:
        | Drop | 2 |
        """
        self._need_proxy().drop(count, Direction(direction), after)

    @keyword(tags=("faults",))
    def duplicate(self, count: int = 1, direction: str = "device", after: int = 0) -> None:
        """Lets each of the next ``count`` bytes come twice.

        Example:
        | Duplicate | 1 | direction=host |
        """
        self._need_proxy().duplicate(count, Direction(direction), after)

    @keyword(tags=("faults",))
    def reorder(self, count: int = 1, direction: str = "device", after: int = 0) -> None:
        """Lets the next ``count`` bytes come behind as many that follow them; 1 swaps two bytes.

        Example:
        | Reorder | 16 | after=100 |
        """
        self._need_proxy().reorder(count, Direction(direction), after)

    @keyword(tags=("faults",))
    def noise(self, count: int = 1, direction: str = "device", after: int = 0) -> None:
        """Makes anything of the next ``count`` bytes: a burst of noise.

        Example:
        | Noise | 40 | direction=host |
        """
        self._need_proxy().noise(count, Direction(direction), after)

    @keyword(tags=("faults",))
    def stick_bit(self, bit: int, level: int, count: int, direction: str = "device", after: int = 0) -> None:
        """Holds one bit, 0 to 7, of each of the next ``count`` bytes at 0 or 1.

        Example:
        | Stick Bit | 5 | 1 | count=200 |
        """
        self._need_proxy().stick(count, Direction(direction), after, bit=bit, level=level)

    @keyword(tags=("faults",))
    def misread(self, count: int = 1, direction: str = "device", after: int = 0) -> None:
        """Makes none, one or two wrong bytes of each of the next ``count``, as a wrong baud rate does.

        Example:
        | Misread | 100 | direction=host |
        """
        self._need_proxy().misread(count, Direction(direction), after)

    @keyword(tags=("faults",))
    def echo(self, count: int = 1, direction: str = "device", after: int = 0) -> None:
        """Sends the next ``count`` bytes back to where they come from, too.

        Example:
        | Echo | 500 |
        """
        self._need_proxy().echo(count, Direction(direction), after)

    @keyword(tags=("faults",))
    def stall(self, seconds: float, direction: str = "device", after: int = 0) -> None:
        """Holds the next byte and all behind it back for some seconds.

        Example:
        | Stall | 0.5 | after=100 |
        """
        self._need_proxy().stall(seconds, Direction(direction), after)

    @keyword(tags=("faults",))
    def insert_bytes(self, content: bytes, direction: str = "device", after: int = 0) -> None:
        """Puts bytes on the line that nobody sent.

        Example:
        | Insert Bytes | ${{bytes(20)}} | direction=host |
        """
        self._need_proxy().insert(content, Direction(direction), after)

    @keyword(tags=("faults",))
    def cut(self) -> None:
        """Pulls the plug: the connection is lost. `Reconnect Runtime` opens it again.

        Example:
        | Cut |
        | Run Keyword And Expect Error | *was lost* | Infer | ${recording} |
        """
        self._need_proxy().cut()

    @keyword(tags=("faults",))
    def reconnect_runtime(self, extension: bool = True) -> None:
        """Opens the link through the cable anew, for instance after `Cut`.

        Example:
        | Reconnect Runtime |
        """
        session.current.connect(self._need_proxy().url, extension=extension)

    def _need_proxy(self) -> FaultProxy:
        if self._proxy is None:
            raise LinkError("There is no bad cable: use 'Start Fault Proxy' first.")
        return self._proxy
