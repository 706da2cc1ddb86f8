"""What a pre-flight has found, for people."""

from __future__ import annotations

from keyturn.client.planned import SeenBefore


def test_the_reason_that_says_most_comes_first_and_in_words() -> None:
    causes = ["login.current:AuthenticationFailed", "doctor:db-login-failed", "drift:ChangedOutside"]
    assert SeenBefore("will fail", "drift", causes, None).reasons == [
        "the password was changed outside of rotation",
        "the database refuses the stored credentials",
        "logging in with AWSCURRENT: the database refuses the login",
    ]
    assert SeenBefore("will fail", "drift", causes, None).ranked == list(reversed(causes))
    # A server that is newer may know others.
    assert SeenBefore("ready", "drift", ["drift:Unheard"], None).reasons == ["drift:Unheard"]
