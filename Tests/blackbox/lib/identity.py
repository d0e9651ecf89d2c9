"""What checks of accounts need of the gateway and its database."""

import httpx

import postgres

# Seconds that anything may take on a busy machine.
PATIENCE = 20


def address(name):
    return f"{name}@example.org"


class Gateway:
    """Every method of a class that is derived from this, and begins with no underscore, is a check."""

    sql = staticmethod(postgres.sql)

    def __init__(self, gateway):
        self.gateway = gateway

    def api(self, method, path, token=None, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, self.gateway + path, headers=headers, timeout=PATIENCE, **options)

    def me(self, token):
        answer = self.api("GET", "/api/auth/me", token)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    def refused(self, answer, status, code):
        assert (answer.status_code, answer.json().get("code")) == (status, code), (answer.status_code, answer.text)

    def run(self):
        for name, check in vars(type(self)).items():
            if not name.startswith("_"):
                check(self)
                print(f"ok: {name.replace('_', ' ')}", flush=True)
