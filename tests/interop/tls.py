# SPDX-License-Identifier: GPL-2.0-only
"""Certificates and keys for migrations, and how QEMU and our programs are told of them.

    ca = Authority(f"{FOLDER}/ca")
    good = ca.certificates(f"{FOLDER}/good")
    Source(..., options=good.object("client"), **good.settings(), ...)
    mfdrecv *good.destination ...

Whoever makes them makes them once for all its cases: keys need time. They are RSA's, since
QEMU 10.0 refuses those of elliptic curves that are not for encipherment, too.
"""

import os
import subprocess

NAME = "destination.test"
SIDES = ("server", "client")


def run(*command, said=None):
    """Run a program of GnuTLS, with `said` for its input."""
    done = subprocess.run(command, input=said, capture_output=True, check=False, text=True,
                          timeout=60)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def write(path, text):
    """A file that only its owner can read: it may hold a key."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="utf-8") as out:
        out.write(text)


class Authority:
    """A CA. What it issues has one key, whoever's it is.

    folder  for its own files; made
    """

    def __init__(self, folder, name="CA"):
        os.makedirs(folder)
        self.folder = folder
        for key in ("ca-key", "key"):
            write(f"{folder}/{key}.pem",
                  run("certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048"))
        self.cert = self._certtool("ca", "--generate-self-signed", "--load-privkey",
                                   f"{folder}/ca-key.pem",
                                   template=f'cn = "{name}"\nca\ncert_signing_key\n'
                                            "expiration_days = 2\n")
        write(f"{folder}/ca-cert.pem", self.cert)

    def _certtool(self, what, *options, template):
        write(f"{self.folder}/{what}.info", template)
        return run("certtool", "--template", f"{self.folder}/{what}.info", *options)

    def issue(self, side, name=NAME, addresses=("127.0.0.1", "::1"), expired=False):
        """A certificate, as text. side: "server" or "client"."""
        template = f'cn = "{name}"\ndns_name = "{name}"\n'
        template += "".join(f'ip_address = "{address}"\n' for address in addresses)
        template += "signing_key\nencryption_key\n"
        template += "tls_www_server\n" if side == "server" else "tls_www_client\n"
        if expired:
            template += ('activation_date = "2020-01-01 00:00:00"\n'
                         'expiration_date = "2020-01-02 00:00:00"\n')
        else:
            template += "expiration_days = 2\n"
        return self._certtool(side, "--generate-certificate",
                              "--load-privkey", f"{self.folder}/key.pem",
                              "--load-ca-certificate", f"{self.folder}/ca-cert.pem",
                              "--load-ca-privkey", f"{self.folder}/ca-key.pem",
                              template=template)

    def certificates(self, folder, sides=SIDES, trust=None, **options):
        """A folder with certificates of this CA.

        folder   made
        sides    whose: "server", "client", both or none
        trust    the CAs in it, if not this one alone
        options  of issue()
        """
        os.makedirs(folder)
        write(f"{folder}/ca-cert.pem", "".join(ca.cert for ca in trust or (self,)))
        with open(f"{self.folder}/key.pem", encoding="utf-8") as key:
            key = key.read()
        for side in sides:
            write(f"{folder}/{side}-cert.pem", self.issue(side, **options))
            write(f"{folder}/{side}-key.pem", key)
        return Certificates(folder)


class Credentials:
    """What the programs of one side, or both, are given.

    source       arguments of mfdsend, mfddemo
    destination  arguments of mfdrecv, mfddemo
    """

    source = destination = ()

    def object(self, endpoint, **properties):
        """A QEMU's arguments. endpoint: "client" (a source) or "server" (a destination)."""
        raise NotImplementedError

    def properties(self, endpoint, **properties):
        """The same as an object for QMP's object-add."""
        raise NotImplementedError

    @staticmethod
    def settings(hostname=NAME):
        """A QEMU's migration parameters. hostname: what a source expects; None: the address."""
        return {"tls_creds": "tls0", **({"tls_hostname": hostname} if hostname else {})}


def argument(properties):
    """An object of QMP's as arguments of a command line."""
    kind = properties["qom_type"]
    words = {True: "on", False: "off"}
    return ["-object", ",".join([kind, *(f"{name.replace('_', '-')}={words.get(value, value)}"
                                         for name, value in properties.items()
                                         if name != "qom_type")])]


class Certificates(Credentials):
    """A folder with certificates."""

    def __init__(self, folder):
        self.folder = folder
        self.source = ("--tls-creds", folder, "--tls-hostname", NAME)
        self.destination = ("--tls-creds", folder)

    def properties(self, endpoint, verify_peer=True, **properties):
        return {"qom_type": "tls-creds-x509", "id": "tls0", "dir": self.folder,
                "endpoint": endpoint, "verify_peer": verify_peer, **properties}

    def object(self, endpoint, **properties):
        return argument(self.properties(endpoint, **properties))


class Keys(Credentials):
    """A file with keys that both sides share.

    folder  made
    users   whose; a source is the first of them
    """

    def __init__(self, folder, users=("qemu",)):
        os.makedirs(folder)
        self.folder = folder
        self.file = f"{folder}/keys.psk"
        self.user = users[0]
        for user in users:
            run("psktool", "--username", user, "--pskfile", self.file)
        self.source = ("--tls-psk", f"{self.file}:{self.user}")
        self.destination = ("--tls-psk", self.file)

    def properties(self, endpoint, **properties):
        user = {"username": self.user} if endpoint == "client" else {}
        return {"qom_type": "tls-creds-psk", "id": "tls0", "dir": self.folder,
                "endpoint": endpoint, **user, **properties}

    def object(self, endpoint, **properties):
        return argument(self.properties(endpoint, **properties))
