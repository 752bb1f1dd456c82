//! Passwords: what is good enough for one, and argon2id over it. Slow on purpose: callers run this
//! off the threads that serve, a few at a time, and never inside the judge.

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;

/// Fewest characters.
pub const MIN_CHARS: usize = 10;
/// Most bytes: argon2 reads all of it, and somebody else chooses how much.
pub const MAX_BYTES: usize = 256;
/// Fewest different characters.
pub const MIN_DIFFERENT: usize = 5;

/// 19 MiB, two passes, one lane: OWASP's first choice for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT: usize = 16;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Fewer than [`MIN_CHARS`].
    #[error("the password is shorter than {MIN_CHARS} characters")]
    Short,
    /// More than [`MAX_BYTES`].
    #[error("the password is longer than {MAX_BYTES} bytes")]
    Long,
    /// It is, or is little more than, the account's name.
    #[error("the password is the account's name, or hardly more")]
    Name,
    /// Fewer than [`MIN_DIFFERENT`] different characters.
    #[error("the password repeats fewer than {MIN_DIFFERENT} different characters")]
    Monotonous,
}

/// Whether `password` will do for the account `name`.
///
/// # Errors
/// Why not.
pub fn check(name: &str, password: &str) -> Result<(), Weak> {
    if password.len() > MAX_BYTES {
        return Err(Weak::Long);
    }
    if password.chars().count() < MIN_CHARS {
        return Err(Weak::Short);
    }
    let lower = password.to_lowercase();
    // What is left beside the name must be half a password of its own.
    let without = lower.replace(&name.to_lowercase(), "");
    if without.len() < lower.len() && without.chars().count() < MIN_CHARS / 2 {
        return Err(Weak::Name);
    }
    let different: std::collections::BTreeSet<char> = lower.chars().collect();
    if different.len() < MIN_DIFFERENT {
        return Err(Weak::Monotonous);
    }
    Ok(())
}

/// The PHC string to store.
///
/// # Errors
/// No randomness, or no memory to work in.
pub fn hash(password: &str) -> anyhow::Result<String> {
    let mut salt = [0; SALT];
    rand::fill(&mut salt).map_err(|_| anyhow::anyhow!("no randomness to be had"))?;
    let hash = argon2()?
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|error| anyhow::anyhow!("a password could not be hashed: {error}"))?;
    Ok(hash.to_string())
}

/// Whether `password` is the one of `phc`. With None, for an account that does not exist, it works
/// as long and says no, so that time tells nobody which names exist.
pub fn verify(phc: Option<&str>, password: &str) -> bool {
    if password.len() > MAX_BYTES {
        return false;
    }
    let Ok(argon2) = argon2() else { return false };
    match phc {
        Some(phc) => argon2.verify_password(password.as_bytes(), phc).is_ok(),
        None => {
            let _ = argon2.hash_password_with_salt(password.as_bytes(), &[0; SALT]);
            false
        }
    }
}

fn argon2() -> anyhow::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| anyhow::anyhow!("argon2 refuses its parameters: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_verifies_and_nothing_else_does() {
        let phc = hash("卫 correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, hash("卫 correct horse").unwrap(), "salted");
        assert!(verify(Some(&phc), "卫 correct horse"));
        for wrong in ["", "卫 correct horsf", &"x".repeat(MAX_BYTES + 1)] {
            assert!(!verify(Some(&phc), wrong), "{wrong}");
        }
        assert!(!verify(None, "卫 correct horse"));
        assert!(!verify(Some("no phc"), "卫 correct horse"));
    }

    #[test]
    fn weak_passwords_are_named() {
        let check = |password: &str, expected: Result<(), Weak>| {
            assert_eq!(super::check("wanglei", password), expected, "{password}");
        };
        check("correct horse", Ok(()));
        check("衡水市卫生健康委员会值班", Ok(()));
        check("short", Err(Weak::Short));
        check("短密码", Err(Weak::Short));
        check(&"long".repeat(65), Err(Weak::Long));
        check("WangLei123", Err(Weak::Name));
        check("wanglei-and-7-cranes", Ok(()));
        check("aaaabbbbcccc", Err(Weak::Monotonous));
    }
}
