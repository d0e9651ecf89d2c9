"""The checks of crash points in a gateway that serves."""

from beatwriter import State, Writer, a_beat, coherent, outcomes
from crashtrial import KEY_LEASE, check, login, register, sign_in
from doomed import Gateway, call, command, number, until
from postgres import sql

# Of each point that beats pass: how many write at once, at which passage it kills, and what is to become of what was under way. Where the
# relay is at it, one writer at least waits for that and finds it complete; but for the point after which they have been told.
WRITES = {
    "creationBeforeCommit": (1, 2, "undone"),
    "creationAfterCommit": (1, 2, "complete"),
    "updateBeforeCommit": (1, 2, "undone"),
    "updateAfterCommit": (1, 2, "complete"),
    "publicationBeforeCommit": (1, 2, "undone"),
    "publicationAfterCommit": (1, 2, "complete"),
    "retirementBeforeCommit": (1, 2, "undone"),
    "retirementAfterCommit": (1, 2, "complete"),
    "relayAfterClaim": (3, 9, None),
    "relayAfterReadingState": (3, 12, None),
    "relayAfterHistory": (3, 4, None),
    "relayBetweenContentAndIndex": (3, 10, None),
    "relayAfterMongo": (3, 15, None),
    "relayAfterUnstaging": (3, 11, "told"),
    "relayAfterAnnouncement": (3, 13, None),
}


@check(*WRITES)
def writes(trial):
    """Several write beats until the process dies: what they were told is there, and what they were not is there whole or not at all."""
    count, passage, expected = WRITES[trial.point]
    trial.start(passage)
    writers = [Writer(trial.world.olga, f"{trial.point} {number}") for number in range(count)]
    for writer in writers:
        writer.start()
    trial.dies()
    for writer in writers:
        writer.join()
        assert not writer.complaint, f"{writer.complaint!r}"
    trial.heal()
    found = [outcome for writer in writers for outcome in outcomes(writer.beats, trial.world.olga)]
    if expected is None:
        assert "complete" in found, f"{found}: nobody waited for what the relay was at"
    elif expected != "told":
        assert found == [expected], f"{found} instead of {expected}"
    steps = sum(beat.known.version for writer in writers for beat in writer.beats if beat.known)
    parts = [f"{found.count(outcome)} {outcome}" for outcome in ("complete", "undone") if outcome in found]
    return f"{', '.join(parts)}; {steps} acknowledged steps are there"


@check("keyAfterClaim", "keyAfterMarking", "keyBeforeSettling")
def key(trial):
    """A request that nobody answered is sent again with its key: what it asks for is done once."""
    world, is_done = trial.world, trial.point == "keyBeforeSettling"
    title = f"{trial.point}, once"

    def send():
        return call("POST", "/api/beats", a_beat(title), world.olga, Idempotency_Key=trial.point)

    def count():
        return number(f"SELECT count(*) FROM beats WHERE title = '{title}'")

    trial.start()
    assert send() is None
    trial.dies()
    trial.heal()
    assert count() == is_done
    beat = resumed(send, trial.point).expect(201)["id"]
    assert count() == 1
    trial.delivered()
    coherent(beat, State(title, 100), world.olga)
    if not is_done:
        return "undone; sent again with its key, it makes one beat"
    taken_back(trial, beat, State(title, 100))
    return "complete; sent again with its key, it makes one beat, and publishes none that was withdrawn meanwhile"


def resumed(send, key):
    """The answer to a request of which a dead gateway has left the claim."""
    # Whoever began it may still be at it, for all that this gateway knows: until his time is over, which is set back, not waited for.
    assert send().expect(409)["code"] == "idempotency_key_in_use"
    left = "extract(epoch FROM locked_until - clock_timestamp())"
    assert float(sql(f"SELECT {left} FROM idempotency_keys WHERE key = '{key}'")) <= KEY_LEASE
    sql(f"UPDATE idempotency_keys SET locked_until = now() WHERE key = '{key}'")
    first, again = send(), send()
    assert again.body == first.body and again.fields["Idempotency-Replayed"] == "true", (first.body, again.body)
    return first


def taken_back(trial, beat, state):
    """A publication that nobody answered and somebody withdrew is not done again."""
    path, key = f"/api/beats/{beat}", f"{trial.point}, taken back"

    def send():
        return call("POST", f"{path}/publish", token=trial.world.olga, Idempotency_Key=f'"{key}"')

    trial.end()
    trial.start()
    assert send() is None
    trial.dies()
    trial.heal()
    call("POST", f"{path}/unpublish", token=trial.world.olga).expect(200)
    assert resumed(send, key).expect(200)["status"] == "draft"
    trial.delivered()
    coherent(beat, state.moved(status="published").moved(status="draft"), trial.world.olga)


@check("relayBetweenKinds", "relayAfterMarkingBeats", "relayAfterForgettingBeats", "relayAfterHidingBeats")
def creator(trial):
    """A creator's new name reaches the account and each beat, once."""
    world, name = trial.world, f"Nina {trial.point}"
    trial.start()
    call("PUT", "/api/auth/profile", {"displayName": name}, world.nina)
    trial.dies()
    trial.heal()
    assert call("GET", "/api/users/nina").expect(200)["displayName"] == name
    world.beats = {beat: state.moved() for beat, state in world.beats.items()}
    for beat, state in world.beats.items():
        coherent(beat, state, world.nina, artist=name)
    return f"complete; {len(world.beats)} beats show the name, in one version each"


@check("relayBeforeRefusal", "relayAfterRefusal")
def refusal(trial):
    """What nobody can deliver becomes a dead letter that is seen; what was claimed together with it is delivered."""
    world = trial.world
    beat = next(iter(world.beats))
    state = world.beats[beat] = world.beats[beat].moved(title=f"Nina's {trial.point}")
    trial.start()
    sql(
        f"""WITH poison AS (INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, attempts)
                VALUES ('beat', gen_random_uuid(), 1, 'upsert', 7)),
            changed AS (UPDATE beats SET version = version + 1, title = $${state.title}$$, updated_at = now()
                WHERE id = '{beat}' RETURNING id, version)
            INSERT INTO outbox (aggregate_type, aggregate_id, version, operation) SELECT 'beat', id, version, 'upsert' FROM changed"""
    )
    trial.dies()
    trial.heal()
    coherent(beat, state, world.nina)
    dead = call("GET", "/api/admin/outbox/dead", token=world.ines).expect(200)["items"]
    assert [(letter["reason"], letter["attempts"]) for letter in dead] == [("unknown_beat", 8)], dead
    assert call("POST", "/api/admin/outbox/dead/purge", {"all": True}, world.ines).expect(200)["count"] == 1
    return "complete; the dead letter has been tried eight times, and can be purged"


@check("deadLettersAfterChange")
def dead_letters(trial):
    """What an admin did about dead letters is in the audit log, whether or not it was answered."""
    sql(
        """INSERT INTO outbox (aggregate_type, aggregate_id, version, operation, attempts, state, next_at, last_error)
           VALUES ('beat', gen_random_uuid(), 1, 'upsert', 8, 'dead', NULL, 'unknown_beat')"""
    )
    entries = "SELECT count(*) FROM audit_log WHERE action = 'dead_letters_purged'"
    before = number(entries)
    trial.start()
    assert call("POST", "/api/admin/outbox/dead/purge", {"all": True}, trial.world.ines) is None
    trial.dies()
    trial.heal()
    assert call("GET", "/api/admin/outbox/dead", token=trial.world.ines).expect(200)["items"] == []
    assert number(entries) == before + 1
    return "complete; purged, with one entry in the audit log"


@check("registrationBeforeCommit", "registrationAfterCommit")
def registration(trial):
    """An account is made with its mail, or neither is."""
    name, is_made = trial.point.lower(), trial.point == "registrationAfterCommit"
    trial.start()
    assert register(name) is None
    trial.dies()
    trial.heal()
    assert number(f"SELECT count(*) FROM users WHERE username = '{name}'") == is_made
    entries = "audit_log JOIN users ON users.id = actor_id"
    assert number(f"SELECT count(*) FROM {entries} WHERE action = 'registered' AND username = '{name}'") == is_made
    if is_made:
        register(name).expect(409)
    else:
        register(name).expect(201)
    login(name)
    call("GET", f"/api/users/{name}").expect(200)
    trial.world.letter(name)
    if is_made:
        return "complete; one account, one mail, one entry in the audit log"
    return "undone; the same registration is taken afterwards, with one mail"


@check("mailBeforeSending", "mailAfterSending", "mailAfterMarking")
def mail(trial):
    """A mail is sent once. Killed between the server's word and the note of it, a second copy follows, which says that it is one."""
    name, copies = trial.point.lower(), 2 if trial.point == "mailAfterSending" else 1
    trial.start()
    register(name)
    trial.dies()
    trial.heal()
    login(name)
    trial.world.letter(name, copies)
    return f"complete; {copies} {'copies under one Message-ID' if copies > 1 else 'mail'}"


def is_sealed():
    return number("SELECT count(*) FROM audit_unsealed") == 0


@check("sealingBeforeCommit")
def sealing(trial):
    """A link of the audit log's chain is made with the entry that it seals, or neither is."""
    gateway = Gateway()
    until(is_sealed, "all entries are sealed, so that the next process is not killed before it answers")
    gateway.end()
    trial.start()
    sign_in("ines")
    trial.dies()
    before = number("SELECT count(*) FROM audit_log")
    trial.heal()
    until(is_sealed, "all entries are sealed")
    assert number("SELECT count(*) FROM audit_log") >= before
    command("audit", "verify")
    return "complete; the chain holds"


@check("refreshAfterRotation")
def refresh(trial):
    """Whoever has not heard of his new tokens shows the old one again, and stays signed in."""
    trial.start()
    shown = {"refreshToken": login("ines")["refreshToken"]}
    assert call("POST", "/api/auth/refresh", shown) is None
    trial.dies()
    trial.heal()
    for _ in range(3):
        answer = call("POST", "/api/auth/refresh", shown).expect(200)
        assert call("GET", "/api/auth/me", token=answer["accessToken"]).expect(200)["username"] == "ines"
        shown = {"refreshToken": answer["refreshToken"]}
    return "complete; the session goes on"
