"""See 61-issuers.sh. `prepare` writes the file of issuers, `check` asks the gateway."""

import concurrent.futures
import json
import sys
import time
import warnings

from joserfc import jwk

from client import free_ports
from identity import PATIENCE, Gateway, address
from issuers import Issuer, forged, token

SUPABASE = "https://abcdefghijklmnopqrst.supabase.co/auth/v1"
SUPABASE_SECRET = "super-secret-jwt-token-with-at-least-32-characters"


class Checks(Gateway):
    def __init__(self, gateway, file):
        super().__init__(gateway)
        with open(file, encoding="utf-8") as opened:
            self.settings = json.load(opened)

    def _supabase(self, subject, key=SUPABASE_SECRET, algorithm="HS256", **claims):
        """As a Supabase project signs one with its shared secret."""
        usual = {
            "iss": SUPABASE, "aud": "authenticated", "sub": subject, "email": address(subject), "phone": "", "role": "authenticated",
            "app_metadata": {"provider": "email", "providers": ["email"]}, "aal": "aal1", "session_id": "8f5c", "is_anonymous": False,
            "user_metadata": {"email": address(subject), "email_verified": True, "sub": subject, "user_name": f"{subject} Ü"},
            "amr": [{"method": "password", "timestamp": int(time.time())}],
        }
        return token(jwk.OctKey.import_key(key), algorithm, usual | claims)

    def a_token_of_a_supabase_project_works_as_it_is(self):
        first = self.me(self._supabase("supa-one"))
        assert (first["username"], first["roles"]) == ("supa-one-U", ["user"]), first
        # What its holder can write into user_metadata proves no address.
        assert "email" not in first, first
        assert self.me(self._supabase("supa-one", aud=["x", "authenticated"]))["id"] == first["id"]
        assert self.me(self._supabase("supa-two"))["id"] != first["id"]

    def what_is_wrong_with_a_token_keeps_it_out(self):
        now = int(time.time())
        wrong = {
            "expired": self._supabase("supa-one", exp=now - 3600),
            "without an end": self._supabase("supa-one", exp=None),
            "from the future": self._supabase("supa-one", nbf=now + 3600),
            "for another audience": self._supabase("supa-one", aud="other"),
            "without an audience": self._supabase("supa-one", aud=None),
            "of nobody": self._supabase("supa-one", sub=None),
            "of another project": self._supabase("supa-one", iss="https://other.supabase.co/auth/v1"),
            "signed by another": self._supabase("supa-one", key="another-secret-of-more-than-32-characters"),
            "signed in another way": self._supabase("supa-one", key=SUPABASE_SECRET * 2, algorithm="HS512"),
            "not signed": forged({"alg": "none"}, {"iss": SUPABASE, "aud": "authenticated"}),
            "with less of a signature": self._supabase("supa-one")[:-4],
            "of another type": token(
                jwk.OctKey.import_key(SUPABASE_SECRET), "HS256", {"iss": SUPABASE, "aud": "authenticated"}, typ="logout+jwt"
            ),
        }
        for reason, text in wrong.items():
            answer = self.api("GET", "/api/auth/me", text)
            assert answer.status_code == 401, (reason, answer.status_code, answer.text)

    def a_suspended_account_stays_out_with_its_issuers_token(self):
        user = self.me(self._supabase("supa-three"))["id"]
        self.sql(f"UPDATE users SET status = 'suspended' WHERE id = '{user}'")
        self.refused(self.api("GET", "/api/auth/me", self._supabase("supa-three")), 403, "account_suspended")

    def many_first_sights_make_one_account(self):
        text = self._supabase("supa-crowd")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: self.me(text)["id"], range(16)))
        assert len(set(answers)) == 1, answers

    def published_keys_count_also_while_their_issuer_is_away(self):
        port = int(self.settings["issuers"][1]["jwks"].split(":")[2].split("/")[0])
        elliptic = jwk.ECKey.generate_key("P-256", {"kid": "elliptic", "use": "sig"})
        factored = jwk.RSAKey.generate_key(2048, {"kid": "factored"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weak = jwk.RSAKey.generate_key(1024, {"kid": "weak"})
        other = jwk.ECKey.generate_key("P-256", {"kid": "elsewhere"})
        claims = {"iss": self.settings["issuers"][1]["issuer"], "aud": "kababeat", "email": address("published"), "email_verified": True}
        good = token(elliptic, "ES256", claims, kid="elliptic")
        # Nothing was ever heard of it.
        answer = self.api("GET", "/api/auth/me", good)
        self.refused(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        issuer = Issuer(port)
        issuer.publish("/keys", elliptic, factored, weak, jwk.OctKey.import_key("x" * 32))
        end = time.monotonic() + PATIENCE
        while self.api("GET", "/api/auth/me", good).status_code == 503:
            assert time.monotonic() < end
            time.sleep(0.1)
        user = self.me(good)
        assert user["email"] == address("published") and user["emailVerified"], user
        assert self.me(token(factored, "RS256", claims, kid="factored"))["id"] == user["id"]
        self.me(token(factored, "RS256", claims, kid="factored", typ="at+jwt"))
        wrong = {
            "not there": token(other, "ES256", claims, kid="elsewhere"),
            "another under its name": token(other, "ES256", claims, kid="elliptic"),
            "without a name, of two": token(other, "ES256", claims),
            "too weak": token(weak, "RS256", claims, kid="weak"),
            "in a way that is not taken": token(factored, "RS512", claims, kid="factored"),
            "public, as if it were shared": forged({"alg": "HS256", "kid": "factored"}, claims, factored.as_pem(private=False)),
            "expired": token(elliptic, "ES256", claims | {"exp": int(time.time()) - 3600}, kid="elliptic"),
        }
        for reason, text in wrong.items():
            answer = self.api("GET", "/api/auth/me", text)
            assert answer.status_code == 401, (reason, answer.status_code, answer.text)
        before = len(issuer.asked)
        for _ in range(20):
            self.refused(self.api("GET", "/api/auth/me", wrong["not there"]), 401, "unauthenticated")
        assert len(issuer.asked) - before <= 2, "an unknown key makes the gateway ask again and again"
        issuer.stop()
        assert self.me(good)["id"] == user["id"]

    def an_issuer_that_answers_badly_does_no_harm(self):
        port = int(self.settings["issuers"][2]["jwks"].split(":")[2].split("/")[0])
        elliptic = jwk.ECKey.generate_key("P-256", {"kid": "elliptic"})
        good = token(elliptic, "ES256", {"iss": self.settings["issuers"][2]["issuer"], "aud": "kababeat"}, kid="elliptic")
        issuer = Issuer(port)

        def drip(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b" ")
                    time.sleep(0.2)
            except OSError:
                return

        def move(handler):
            handler.send_response(302)
            handler.send_header("Location", "/elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        issuer.publish("/elsewhere", elliptic)
        for page in [drip, move, b" " * 400_000 + issuer.pages["/elsewhere"], b"no JSON"]:
            issuer.pages["/keys"] = page
            # Once a second, as long as it has never answered.
            asked, end = issuer.asked.count("/keys"), time.monotonic() + PATIENCE
            while issuer.asked.count("/keys") == asked:
                began = time.monotonic()
                self.refused(self.api("GET", "/api/auth/me", good), 503, "store_unavailable")
                assert time.monotonic() - began < 10 and time.monotonic() < end
                time.sleep(0.05)
        assert "/elsewhere" not in issuer.asked, "a redirect was followed"
        issuer.stop()


def prepare(file):
    ports = free_ports(2)
    settings = {
        "issuers": [
            {"issuer": SUPABASE, "audience": "authenticated", "secret": SUPABASE_SECRET, "claims": {"username": "user_metadata.user_name"}},
            {"issuer": "https://issuer.test", "audience": ["kababeat"], "jwks": f"http://127.0.0.1:{ports[0]}/keys"},
            {"issuer": "https://slow.test", "audience": "kababeat", "jwks": f"http://127.0.0.1:{ports[1]}/keys"},
        ]
    }
    with open(file, "w", encoding="utf-8") as opened:
        json.dump(settings, opened)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(sys.argv[2])
    else:
        Checks(*sys.argv[2:]).run()
