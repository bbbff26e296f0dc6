from collections.abc import Mapping

class AioConfig:
    def __init__(
        self,
        *,
        connect_timeout: float = ...,
        read_timeout: float = ...,
        retries: Mapping[str, int | str] | None = ...,
        max_pool_connections: int = ...,
    ) -> None: ...
