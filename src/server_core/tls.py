"""Files of a certificate → what a server listens with. Called by whatever starts the gateway."""

import ssl
from pathlib import Path

from server_core.config import GatewaySettings
from server_core.errors import ConfigError


class Certificate:
    """A certificate and its key, checked when they are read.

    Attributes:
        context: for new connections; the same object after reload.

    Raises:
        ConfigError: a file cannot be read, or they do not belong together; the message names the setting.
    """

    def __init__(self, cert: Path, key: Path | None, password: str | None) -> None:
        self._cert = cert.expanduser()
        self._key = None if key is None else key.expanduser()
        self._password = password
        self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))  # a bad pair must not change what is in use
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._load(self.context)

    @classmethod
    def of(cls, settings: GatewaySettings) -> "Certificate | None":
        """Return the certificate of the settings, None where TLS is not wanted.

        Raises:
            ConfigError: see the class.
        """
        if settings.tls_cert is None:
            if settings.tls_key is not None:
                raise ConfigError("gateway.tls_key: there is no certificate for it; set gateway.tls_cert too.")
            return None
        return cls(settings.tls_cert, settings.tls_key, settings.tls_key_password)

    def reload(self) -> None:
        """Read the files anew; connections from now on get the new certificate.

        Raises:
            ConfigError: they cannot be used; the old one stays.
        """
        self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> None:
        for name, path in (("cert", self._cert), ("key", self._key)):
            if path is not None:
                try:
                    path.read_bytes()
                except OSError as error:
                    raise ConfigError(f"gateway.tls_{name}: {path} cannot be read: {error.strerror}") from None
        keys = self._key or self._cert
        try:
            # Without a function OpenSSL would ask at the terminal for the password of a key.
            context.load_cert_chain(self._cert, self._key, password=lambda: self._password or "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(f"gateway.tls_key: {keys} is not the key of {self._cert}") from None
            if _encrypted(keys):
                said = "its password is not right" if self._password else "it needs gateway.tls_key_password"
                raise ConfigError(f"gateway.tls_key: {keys} cannot be decrypted: {said}") from None
            what = "certificate and key" if self._key is None else "certificate, or its key no key,"
            raise ConfigError(
                f"gateway.tls_cert: {self._cert} is no {what} in PEM ({error.reason or 'no PEM'})"
            ) from None


def _encrypted(path: Path) -> bool:
    return b"ENCRYPTED" in path.read_bytes()
