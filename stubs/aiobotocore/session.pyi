from contextlib import AbstractAsyncContextManager
from typing import Any

class AioSession:
    def create_client(self, service_name: str, **options: Any) -> AbstractAsyncContextManager[Any]: ...

def get_session() -> AioSession: ...
