//! Asking a tool of the host (`systemctl`, `rpm`), bounded in time and in what it says.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};

/// How long a tool may take. `rpm -qa` of 3,000 packages needs under 2 s.
const PATIENCE: Duration = Duration::from_secs(40);
/// What is read of its answer.
const MAX_ANSWER: u64 = 16 << 20;

/// What a tool prints. Fails when it can't be run, takes too long, says too much or exits with
/// another code than 0: half an answer would look like things removed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{name} can't be run"))?;
    let mut stdout = child.stdout.take().context("its output was not piped")?;
    let (sender, receiver) = mpsc::channel();
    // The reader ends with the tool, which is killed below when it does not end by itself.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.by_ref().take(MAX_ANSWER).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    let answer = receiver.recv_timeout(PATIENCE);
    let complete = matches!(&answer, Ok(Ok(bytes)) if (bytes.len() as u64) < MAX_ANSWER);
    if !complete {
        let _ = child.kill();
    }
    let status = child.wait()?;
    match answer {
        Ok(Ok(bytes)) if complete && status.success() => {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Ok(Ok(_)) if !complete => bail!("{name} said more than {MAX_ANSWER} bytes"),
        Ok(Ok(_)) => bail!("{name} ended with {status}"),
        Ok(Err(error)) => bail!("{name} could not be read: {error}"),
        Err(_) => bail!("{name} took longer than {} s", PATIENCE.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_an_error() {
        let shell = |script: &str| output(Command::new("sh").args(["-c", script]));
        assert_eq!(shell("echo fine").unwrap(), "fine\n");
        assert_eq!(
            shell("echo half; exit 3").unwrap_err().to_string(),
            "sh ended with exit status: 3"
        );
        assert!(shell("yes").unwrap_err().to_string().starts_with("sh said more than"));
        let missing = output(&mut Command::new("/no/such/tool")).unwrap_err();
        assert_eq!(missing.to_string(), "/no/such/tool can't be run");
    }
}
