"""See 60-openid.sh. `prepare` makes the provider and the file of issuers, `check` asks the gateway."""

import json
import sys
import time
import uuid

from client import free_ports
from identity import Gateway, address
from openid import Browser, Provider, changed, one_time_code, parameter

PASSWORD = "violet harbour 27"
# By crypt(5), at the least cost.
PASSWORD_HASH = "$2b$04$SYu3dA/AXIcWptaPooWhD.MwVHjnKk7Ekm8V268oxiqL1SpZrPHdS"
NAMES = ["known-one", "known-two", "known-three", "known-four", "known-five", "known-six", "unknown-one"]


class Checks(Gateway):
    def __init__(self, gateway, scratch, file):
        super().__init__(gateway)
        self.came_back = {}
        with open(file, encoding="utf-8") as opened:
            self.provider = Provider(scratch, int(json.load(opened)["providers"][0]["issuer"].rsplit(":", 1)[1]))

    def _register(self, name, verified=True):
        """An account with a password, made past the gateway; its id and an access token."""
        user = str(uuid.uuid4())
        self.sql(
            f"""
            INSERT INTO users (id, username, status) VALUES ('{user}', '{name}-here', 'active');
            INSERT INTO user_accounts (user_id, email, email_verified_at)
                VALUES ('{user}', '{address(name)}', CASE WHEN {verified} THEN now() END);
            INSERT INTO user_profiles (user_id) VALUES ('{user}');
            INSERT INTO user_credentials (user_id, password_hash) VALUES ('{user}', '{PASSWORD_HASH}');
            INSERT INTO user_roles (user_id, role) VALUES ('{user}', 'user');
            """
        )
        answer = self.api("POST", "/api/auth/login", json={"email": address(name), "password": PASSWORD})
        return user, self._signed_in(answer)["accessToken"]

    def _sign_in(self, name, browser=None, path="/api/auth/openid/canaille/start", **changes):
        """Goes there and comes back, with parts of the way there changed."""
        browser = browser or Browser(self.gateway)
        back = browser.sign_in(changed(browser.depart(path), **changes), name, PASSWORD)
        return self._come_back(browser, back, name)

    def _come_back(self, browser, back, name="known-one"):
        # canaille gives an account the same token twice within a second, and then fails over it.
        while int(time.time()) <= self.came_back.get(name, 0):
            time.sleep(0.02)
        answer = browser.ask("GET", back)
        self.came_back[name] = int(time.time())
        return answer

    def _signed_in(self, answer):
        assert answer.status_code == 200, (answer.status_code, answer.text)
        return answer.json()

    # Sign-in at a provider

    def providers_are_listed(self):
        answer = self.api("GET", "/api/auth/openid").json()
        assert [item["name"] for item in answer["items"]] == ["canaille", "google"], answer
        assert "isLinked" not in answer["items"][0]
        self.refused(self.api("GET", "/api/auth/openid/nobody/start"), 404, "not_found")

    def nobody_is_sent_elsewhere(self):
        for path in ["https://evil.test/", "//evil.test/", "/\\evil.test", "evil", "/a b"]:
            answer = self.api("GET", "/api/auth/openid/canaille/start", params={"returnTo": path})
            self.refused(answer, 400, "invalid_request")

    def departure_has_all_that_protects_it(self):
        first, second = (Browser(self.gateway).depart() for _ in range(2))
        assert first.startswith(self.provider.issuer)
        assert parameter(first, "code_challenge_method") == "S256" and parameter(first, "response_type") == "code"
        for name in ["state", "nonce", "code_challenge"]:
            assert len(parameter(first, name)) == 43 and parameter(first, name) != parameter(second, name), name

    def a_listener_signs_in_twice_and_is_the_same(self):
        first = self._signed_in(self._sign_in("known-one"))
        assert first["user"]["username"] == "known-one" and first["user"]["email"] == address("known-one"), first
        assert first["user"]["emailVerified"] and first["refreshToken"] and first["expiresIn"] > 0
        assert self.me(first["accessToken"])["id"] == first["user"]["id"]
        second = self._signed_in(self._sign_in("known-one"))
        assert second["user"]["id"] == first["user"]["id"]

    def a_browser_comes_back_to_its_page_with_cookies(self):
        browser = Browser(self.gateway)
        answer = self._sign_in("known-one", browser, "/api/auth/openid/canaille/start?returnTo=/library%3Fpage%3D2%23top")
        assert (answer.status_code, answer.headers["location"]) == (303, "/library?page=2#top"), answer.headers
        assert {"__Host-kababeat_access", "__Host-kababeat_refresh"} <= set(browser.cookies)
        assert browser.ask("GET", "/api/auth/me").json()["username"] == "known-one"

    def a_wrong_verifier_is_refused_by_the_provider(self):
        self.refused(self._sign_in("known-one", code_challenge="A" * 43), 401, "unauthenticated")

    def a_wrong_nonce_is_refused(self):
        self.refused(self._sign_in("known-one", nonce="A" * 43), 401, "unauthenticated")

    def a_code_counts_once(self):
        browser = Browser(self.gateway)
        back = browser.sign_in(browser.depart(), "known-one", PASSWORD)
        self._signed_in(self._come_back(browser, back))
        again = changed(back, state=parameter(browser.depart(), "state"))
        self.refused(browser.ask("GET", again), 401, "unauthenticated")

    def a_state_counts_once(self):
        browser = Browser(self.gateway)
        back = browser.sign_in(browser.depart(), "known-one", PASSWORD)
        self._signed_in(self._come_back(browser, back))
        self.refused(browser.ask("GET", back), 400, "invalid_request")

    def a_state_counts_in_its_browser_alone(self):
        browser, stranger = Browser(self.gateway), Browser(self.gateway)
        stranger.depart()
        back = browser.sign_in(browser.depart(), "known-one", PASSWORD)
        self.refused(stranger.ask("GET", back), 400, "invalid_request")
        self.refused(self.api("GET", back.removeprefix(self.gateway)), 400, "invalid_request")
        self._signed_in(self._come_back(browser, back))

    def a_browser_may_have_several_sign_ins_under_way(self):
        browser = Browser(self.gateway)
        first, second = browser.depart(), browser.depart()
        self._signed_in(self._come_back(browser, browser.sign_in(first, "known-one", PASSWORD)))
        self._signed_in(self._come_back(browser, browser.sign_in(second, "known-one", PASSWORD)))

    def a_state_that_is_too_old_is_none(self):
        browser = Browser(self.gateway)
        back = browser.sign_in(browser.depart(), "known-one", PASSWORD)
        self.sql("UPDATE sign_in_attempts SET expires_at = now() - interval '1 second'")
        self.refused(browser.ask("GET", back), 400, "invalid_request")

    def an_answer_of_another_provider_is_refused(self):
        for issuer in ["https://evil.test", None]:
            browser = Browser(self.gateway)
            back = browser.sign_in(browser.depart(), "known-one", PASSWORD)
            self.refused(browser.ask("GET", changed(back, iss=issuer)), 401, "unauthenticated")

    def whoever_is_turned_away_there_is_told(self):
        for path, expected in [("", None), ("?returnTo=/login%3Fa%3D1", "/login?a=1&signInProblem=forbidden")]:
            browser = Browser(self.gateway)
            state = parameter(browser.depart("/api/auth/openid/canaille/start" + path), "state")
            query = {"state": state, "error": "access_denied", "iss": self.provider.issuer, "error_description": "x"}
            answer = browser.ask("GET", "/api/auth/openid/canaille/callback", params=query)
            if expected is None:
                self.refused(answer, 403, "forbidden")
            else:
                assert (answer.status_code, answer.headers["location"]) == (303, expected), answer.headers

    def an_unverified_address_joins_nobody(self):
        here, _ = self._register("unknown-one")
        elsewhere = self._signed_in(self._sign_in("unknown-one"))["user"]
        assert elsewhere["id"] != here and "email" not in elsewhere, elsewhere

    def an_address_that_is_verified_on_both_sides_joins(self):
        here, _ = self._register("known-two")
        assert self._signed_in(self._sign_in("known-two"))["user"]["id"] == here

    def an_address_that_is_not_verified_here_joins_nobody(self):
        here, _ = self._register("known-three", verified=False)
        elsewhere = self._signed_in(self._sign_in("known-three"))["user"]
        assert elsewhere["id"] != here and "email" not in elsewhere, elsewhere

    def a_proven_address_leaves_an_account_that_never_proved_it(self):
        here, _ = self._register("known-four", verified=False)
        self.sql(f"UPDATE users SET status = 'pending' WHERE id = '{here}'")
        elsewhere = self._signed_in(self._sign_in("known-four"))["user"]
        assert elsewhere["id"] != here and elsewhere["email"] == address("known-four"), elsewhere
        assert self.sql(f"SELECT email IS NULL FROM user_accounts WHERE user_id = '{here}'") == "t"

    def a_suspended_account_stays_out(self):
        self.sql("UPDATE users SET status = 'suspended' WHERE username = 'known-one'")
        self.refused(self._sign_in("known-one"), 403, "account_suspended")
        answer = self._sign_in("known-one", path="/api/auth/openid/canaille/start?returnTo=/")
        assert answer.headers["location"] == "/?signInProblem=account_suspended", answer.headers
        self.sql("UPDATE users SET status = 'active' WHERE username = 'known-one'")

    def a_second_factor_is_asked_for_after_the_provider(self):
        user = self._signed_in(self._sign_in("known-five"))
        secret = self.api("POST", "/api/auth/second-factor", user["accessToken"], json={}).json()["secret"]
        codes = self.api("POST", "/api/auth/second-factor/confirm", user["accessToken"], json={"code": one_time_code(secret)})
        assert codes.status_code == 200, codes.text
        browser, path = Browser(self.gateway), "/api/auth/openid/second-factor"
        answer = self._signed_in(self._sign_in("known-five", browser))
        assert set(answer) == {"continuation"}, answer
        body = {"continuation": answer["continuation"], "code": "000000"}
        self.refused(browser.ask("POST", path, json=body), 401, "second_factor_needed")
        body["code"] = codes.json()["recoveryCodes"][0]
        self.refused(Browser(self.gateway).ask("POST", path, json=body), 401, "unauthenticated")
        finished = self._signed_in(browser.ask("POST", path, json=body))
        assert finished["user"]["id"] == user["user"]["id"]

    # Links

    def _link(self, token, browser, **body):
        headers = {"Authorization": f"Bearer {token}"}
        return browser.ask("POST", "/api/auth/openid/canaille/link", json=body, headers=headers)

    def an_account_links_an_identity_and_unlinks_it(self):
        user, token = self._register("linker")
        path = "/api/auth/openid/canaille/link"
        self.refused(self._link(token, Browser(self.gateway), password="wrong"), 400, "invalid_request")
        self.refused(self.api("POST", path, json={}), 401, "unauthenticated")
        browser = Browser(self.gateway)
        url = self._link(token, browser, password=PASSWORD).json()["url"]
        answer = self._come_back(browser, browser.sign_in(url, "known-six", PASSWORD), "known-six")
        assert answer.status_code == 200, answer.text
        listed = self.api("GET", "/api/auth/openid", token).json()["items"]
        assert [item["isLinked"] for item in listed] == [True, False], listed
        assert self._signed_in(self._sign_in("known-six"))["user"]["id"] == user
        # What belongs to one account is not taken to another.
        _, other = self._register("other-linker")
        browser = Browser(self.gateway)
        url = self._link(other, browser, password=PASSWORD).json()["url"]
        self.refused(self._come_back(browser, browser.sign_in(url, "known-six", PASSWORD), "known-six"), 409, "conflict")
        assert self.api("DELETE", path, token).status_code == 204
        self.refused(self.api("DELETE", path, token), 404, "not_found")

    def the_last_way_in_stays(self):
        token = self._signed_in(self._sign_in("known-one"))["accessToken"]
        self.refused(self.api("DELETE", "/api/auth/openid/canaille/link", token), 409, "conflict")

    def a_link_ends_with_the_session_that_began_it(self):
        _, token = self._register("logger-out")
        browser = Browser(self.gateway)
        url = self._link(token, browser, password=PASSWORD).json()["url"]
        assert self.api("POST", "/api/auth/logout", token, json={}).status_code == 204
        self.refused(browser.ask("GET", browser.sign_in(url, "known-six", PASSWORD)), 400, "invalid_request")

    def what_happened_is_in_the_audit_log(self):
        for action in ["logged_in", "login_failed", "identity_linked", "identity_unlinked", "registered"]:
            assert int(self.sql(f"SELECT count(*) FROM audit_log WHERE action = '{action}'")) > 0, action


def prepare(gateway, scratch, file):
    provider = Provider(scratch, *free_ports(1))
    accounts = [(name, PASSWORD, address(name)) for name in NAMES]
    provider.prepare(f"{gateway}/api/auth/openid/canaille/callback", accounts)
    settings = {
        "providers": [
            {
                "name": "canaille", "issuer": provider.issuer, "clientId": provider.client_id, "clientSecret": provider.client_secret,
                "claims": {"emailVerified": "website"},
            },
            {"preset": "google", "clientId": "x", "clientSecret": "y"},
        ],
    }
    with open(file, "w", encoding="utf-8") as opened:
        json.dump(settings, opened)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(*sys.argv[2:])
    else:
        checks = Checks(*sys.argv[2:])
        checks.provider.start()
        try:
            checks.run()
        finally:
            checks.provider.stop()
