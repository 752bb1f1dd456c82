//! Levels as applications write them, in English, in Chinese, in one letter, and as we say them.

/// A level. One in lower case is a word like any other, unless something ends it.
pub(super) fn level(word: &str, ended: bool) -> Option<&'static str> {
    let word = word.trim_end_matches(':').trim_matches(['<', '>', '*']);
    if word.len() > 24 {
        return None;
    }
    if let [letter] = word.as_bytes() {
        let known = LETTERS.iter().find(|(known, _)| known == letter);
        return known.filter(|_| ended).map(|(_, level)| *level);
    }
    let first = word.as_bytes().first()?;
    if !first.is_ascii() {
        return CHINESE.iter().find(|(known, _)| *known == word).map(|(_, level)| *level);
    }
    let capital = first.is_ascii_uppercase();
    // `Error` begins sentences as well: it needs an end of its own, `ERROR` does not.
    let whole = word.bytes().all(|byte| byte.is_ascii_uppercase());
    if !whole && !ended || !whole && !capital && !word.bytes().all(|byte| byte.is_ascii_lowercase())
    {
        return None;
    }
    LEVELS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
}

/// Levels by their name in capitals, and as we say them.
const LEVELS: &[(&str, &str)] = &[
    ("INFO", "info"),
    ("ERROR", "error"),
    ("WARN", "warn"),
    ("DEBUG", "debug"),
    ("WARNING", "warning"),
    ("TRACE", "trace"),
    ("FATAL", "fatal"),
    ("CRITICAL", "critical"),
    ("NOTICE", "notice"),
    ("SEVERE", "severe"),
    ("ALERT", "alert"),
    ("EMERGENCY", "emergency"),
    ("PANIC", "panic"),
    ("INFORMATION", "info"),
    ("INFORMATIONAL", "info"),
    ("VERBOSE", "trace"),
    ("CONFIG", "config"),
    ("FINE", "fine"),
    ("FINER", "finer"),
    ("FINEST", "finest"),
    ("INF", "info"),
    ("ERR", "error"),
    ("WRN", "warn"),
    ("DBG", "debug"),
    ("FTL", "fatal"),
    ("TRC", "trace"),
    ("CRIT", "critical"),
    ("EMERG", "emergency"),
    ("EROR", "error"),
    ("DEBU", "debug"),
    ("FATA", "fatal"),
    ("EDIAG", "error"),
    ("WDIAG", "warn"),
];
/// Levels in Chinese; the longer before those they begin with.
const CHINESE: &[(&str, &str)] = &[
    ("信息", "info"),
    ("提示", "info"),
    ("一般", "info"),
    ("警告", "warning"),
    ("告警", "warning"),
    ("错误", "error"),
    ("异常", "error"),
    ("严重", "severe"),
    ("致命", "fatal"),
    ("调试", "debug"),
    ("跟踪", "trace"),
    ("配置", "config"),
    ("详细", "fine"),
];
/// Levels of one letter, where there is only room for a letter.
pub(super) const LETTERS: &[(u8, &str)] =
    &[(b'I', "info"), (b'W', "warn"), (b'E', "error"), (b'D', "debug"), (b'F', "fatal")];
