use super::*;
use crate::store::fake::Fake;

const T0: i64 = 1_700_000_000 * NANOS;
const PHC: &str = "$argon2id$stands-for-a-hash";

fn at(seconds: i64) -> i64 {
    after(T0, seconds)
}

/// Commits what was decided and hands on the rest.
fn done<T>(fake: &Fake, decided: Result<(Decision, T), Error>) -> T {
    let (decision, result) = decided.unwrap();
    fake.commit(decision);
    result
}

/// A state with one account that has used its link.
fn with_account(name: &str, role: Role) -> Fake {
    let fake = Fake::default();
    let secret = done(&fake, user_add(&fake, T0, "local:root", name, role));
    done(&fake, accept_invite(&fake, T0, secret.reveal(), PHC.to_owned()));
    fake
}

fn sign(fake: &Fake, now: i64, name: &str, fits: bool) -> SignedIn {
    done(fake, sign_in(fake, now, Policy::default(), name, "192.0.2.7", (Some(PHC), fits)))
}

fn session_key(fake: &Fake, now: i64, name: &str) -> String {
    match sign(fake, now, name, true) {
        SignedIn::Yes(secret) => secret.stored(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_works_once_within_its_day() {
    let fake = Fake::default();
    let secret = done(&fake, user_add(&fake, T0, "local:root", "wanglei", Role::Secadmin));
    assert!(!anybody(&fake), "an account without a password opens nothing");
    assert!(invited(&fake, at(INVITE_SECS - 1), secret.reveal()).is_some());
    assert!(invited(&fake, at(INVITE_SECS), secret.reveal()).is_none());
    assert!(invited(&fake, T0, "0000").is_none());
    done(&fake, accept_invite(&fake, at(1), secret.reveal(), PHC.to_owned()));
    assert!(anybody(&fake));
    assert!(matches!(
        accept_invite(&fake, at(2), secret.reveal(), PHC.to_owned()),
        Err(Error::Refused(_))
    ));
    let stored = fake.get(tree::USERS, b"wanglei").unwrap();
    assert!(!String::from_utf8(stored).unwrap().contains(secret.reveal()));
    let actions: Vec<_> = fake.entries().into_iter().map(|it| (it.actor, it.action)).collect();
    let expected = [("local:root", "user.added"), ("wanglei", "user.password-set")];
    assert_eq!(actions, expected.map(|(who, what)| (who.to_owned(), what.to_owned())));
}

#[test]
fn names_are_checked_and_taken_once() {
    let fake = with_account("wanglei", Role::Viewer);
    for name in ["", "Wang", "王磊", "a b", "wanglei", &"a".repeat(65), "a\nb"] {
        let decided = user_add(&fake, T0, "local:root", name, Role::Viewer);
        assert!(matches!(decided, Err(Error::Refused(_))), "{name}");
    }
}

#[test]
fn five_wrong_passwords_lock_for_half_an_hour() {
    let fake = with_account("wanglei", Role::Secadmin);
    for second in 0..4 {
        assert_eq!(sign(&fake, at(second), "wanglei", false), SignedIn::Wrong);
    }
    assert_eq!(sign(&fake, at(4), "wanglei", false), SignedIn::Locks);
    assert_eq!(sign(&fake, at(5), "wanglei", true), SignedIn::Locked, "the sixth, though right");
    assert_eq!(sign(&fake, at(4 + LOCK_SECS - 1), "wanglei", true), SignedIn::Locked);
    assert!(matches!(sign(&fake, at(4 + LOCK_SECS), "wanglei", true), SignedIn::Yes(_)));
}

#[test]
fn a_right_password_forgets_the_wrong_ones() {
    let fake = with_account("wanglei", Role::Secadmin);
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(sign(&fake, T0, "wanglei", false), SignedIn::Wrong);
        }
        assert!(matches!(sign(&fake, T0, "wanglei", true), SignedIn::Yes(_)));
    }
}

#[test]
fn a_password_verified_against_a_replaced_hash_is_wrong() {
    let fake = with_account("wanglei", Role::Secadmin);
    let decided =
        sign_in(&fake, T0, Policy::default(), "wanglei", "192.0.2.7", (Some("$old"), true));
    assert_eq!(done(&fake, decided), SignedIn::Wrong);
}

#[test]
fn an_unknown_name_is_not_written_down() {
    let fake = with_account("wanglei", Role::Secadmin);
    assert_eq!(sign(&fake, T0, "hunter2-secret", false), SignedIn::Unknown);
    let last = fake.entries().pop().unwrap();
    assert_eq!(last.action, "user.sign-in-refused");
    assert!(!last.body.contains("hunter2"), "{}", last.body);
}

#[test]
fn sessions_end_idle_and_in_any_case() {
    let fake = with_account("wanglei", Role::Secadmin);
    let policy = Policy { idle_secs: 1800, absolute_secs: 4000 };
    let key = session_key(&fake, T0, "wanglei");
    let good = |seconds| session(&fake, at(seconds), policy, &key).is_some();
    assert!(good(1799));
    assert!(!good(1800));
    done(&fake, touch(&fake, at(1700), policy, &key));
    assert!(good(3499));
    assert!(!good(3500));
    done(&fake, touch(&fake, at(3400), policy, &key));
    assert!(good(3999));
    assert!(!good(4000), "however busy");
    done(&fake, touch(&fake, at(4000), policy, &key));
    assert!(!good(4000), "what has ended can't be touched back to life");
}

#[test]
fn signing_out_and_disabling_end_sessions_and_tokens() {
    let fake = with_account("wanglei", Role::Secadmin);
    let (one, two) = (session_key(&fake, T0, "wanglei"), session_key(&fake, T0, "wanglei"));
    let good = |key: &str| session(&fake, T0, Policy::default(), key).is_some();
    done(&fake, sign_out(&fake, T0, &one));
    assert!(!good(&one) && good(&two));
    let created = token_create(&fake, T0, "wanglei", "wanglei", "siem", Scope::Read, 30);
    let text = done(&fake, created);
    assert!(api_token(&fake, T0, &text).is_some());
    done(&fake, user_disable(&fake, T0, "local:root", "wanglei"));
    assert!(!good(&two));
    assert!(api_token(&fake, T0, &text).is_none());
    assert!(tokens(&fake).is_empty());
    assert_eq!(sign(&fake, T0, "wanglei", true), SignedIn::Unknown);
    assert!(!anybody(&fake));
}

#[test]
fn the_oldest_session_goes_when_there_are_too_many() {
    let fake = with_account("wanglei", Role::Secadmin);
    let first = session_key(&fake, T0, "wanglei");
    for n in 1..MAX_SESSIONS as i64 {
        session_key(&fake, at(n), "wanglei");
    }
    assert!(session(&fake, at(20), Policy::default(), &first).is_some());
    session_key(&fake, at(20), "wanglei");
    assert!(session(&fake, at(20), Policy::default(), &first).is_none());
    assert_eq!(sessions(&fake).len(), MAX_SESSIONS);
    session_key(&fake, at(24 * 3600), "wanglei");
    assert_eq!(sessions(&fake).len(), 1, "ended ones are cleared away");
}

#[test]
fn tokens_end_and_are_limited() {
    let fake = with_account("wanglei", Role::Secadmin);
    let make =
        |name: &str, days| token_create(&fake, T0, "wanglei", "wanglei", name, Scope::Alerts, days);
    let text = done(&fake, make("siem", 1));
    assert!(text.starts_with("hwt_") && text.len() == 4 + 64, "{text}");
    assert!(api_token(&fake, at(86_399), &text).is_some());
    assert!(api_token(&fake, at(86_400), &text).is_none());
    assert!(api_token(&fake, T0, "hwt_0").is_none());
    for (name, days) in [("siem", 1), ("Bad", 1), ("x", 0), ("x", MAX_DAYS_PLUS_ONE)] {
        assert!(matches!(make(name, days), Err(Error::Refused(_))), "{name} {days}");
    }
    for n in 1..token::MAX_TOKENS {
        done(&fake, make(&format!("t{n}"), 1));
    }
    assert!(matches!(make("one-more", 1), Err(Error::Refused(_))));
    done(&fake, token_revoke(&fake, T0, "wanglei", "wanglei", "siem"));
    assert!(api_token(&fake, T0, &text).is_none());
    assert!(token_revoke(&fake, T0, "wanglei", "wanglei", "siem").is_err());
}

const MAX_DAYS_PLUS_ONE: i64 = token::MAX_DAYS + 1;

#[test]
fn the_three_administrators_are_separated() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
        assert_eq!(role.may(Right::Handle), role == Role::Secadmin);
        assert_eq!(role.may(Right::Accounts), role == Role::Sysadmin);
        assert_eq!(role.may(Right::Search), matches!(role, Role::Secadmin | Role::Auditadmin));
    }
    assert!(!Scope::Read.covers(Right::Handle) && Scope::Full.covers(Right::Handle));
    assert!(!Scope::Alerts.covers(Right::Search) && Scope::Alerts.covers(Right::Alerts));
    assert!(Scope::ALL.iter().all(|scope| !scope.covers(Right::Accounts)));
}
