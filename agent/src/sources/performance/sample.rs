//! One measurement as plain numbers, and the records it becomes. Sizes in bytes, ratios 0 to 1.

use hengwei_protocol::record::{integer, number, text};
use hengwei_protocol::wire::{Field, Fields, record::Body};

use crate::sources::NewRecord;

/// What was measured at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) processor: Processor,
    pub(crate) load: Option<[f64; 3]>,
    pub(crate) memory: Memory,
    pub(crate) filesystems: Vec<Filesystem>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) networks: Vec<Network>,
    pub(crate) processes: Vec<Process>,
}

/// All processors together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processor {
    pub(crate) ratio: f64,
    pub(crate) cores: u64,
}

/// Memory and swap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    pub(crate) used: u64,
    pub(crate) swap_total: u64,
    pub(crate) swap_used: u64,
}

/// One file system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filesystem {
    pub(crate) mount_point: String,
    pub(crate) device: String,
    pub(crate) kind: String,
    pub(crate) total: u64,
    pub(crate) available: u64,
    pub(crate) used_ratio: f64,
}

/// One disk since it was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) name: String,
    pub(crate) read_bytes: u64,
    pub(crate) write_bytes: u64,
}

/// One network interface since it was brought up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) in_bytes: u64,
    pub(crate) out_bytes: u64,
    pub(crate) in_errors: u64,
    pub(crate) out_errors: u64,
    pub(crate) in_dropped: Option<u64>,
}

/// One process; its ratio is of all processors together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) executable: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) ratio: f64,
    pub(crate) resident: u64,
}

impl Sample {
    /// Its records, all of time `now`, Unix nanoseconds.
    pub(crate) fn records(&self, now: i64) -> Vec<NewRecord> {
        let mut records = Records { now, records: Vec::new() };
        records.add(
            "perf.cpu",
            vec![
                number("system.cpu.total.norm.pct", self.processor.ratio.clamp(0.0, 1.0)),
                count("system.cpu.cores", self.processor.cores),
            ],
        );
        if let Some([one, five, fifteen]) = self.load {
            records.add(
                "perf.load",
                vec![
                    number("system.load.1", one),
                    number("system.load.5", five),
                    number("system.load.15", fifteen),
                ],
            );
        }
        records.add("perf.memory", self.memory.fields());
        for filesystem in &self.filesystems {
            records.add("perf.filesystem", filesystem.fields());
        }
        for disk in &self.disks {
            records.add(
                "perf.disk",
                vec![
                    text("system.diskio.name", disk.name.as_str()),
                    count("system.diskio.read.bytes", disk.read_bytes),
                    count("system.diskio.write.bytes", disk.write_bytes),
                ],
            );
        }
        for network in &self.networks {
            records.add("perf.network", network.fields());
        }
        for process in &self.processes {
            records.add("perf.process", process.fields());
        }
        records.records
    }
}

struct Records {
    now: i64,
    records: Vec<NewRecord>,
}

impl Records {
    fn add(&mut self, dataset: &str, mut fields: Vec<Field>) {
        fields.insert(0, text("event.dataset", dataset));
        self.records.push(NewRecord {
            time: self.now,
            created: self.now,
            body: Some(Body::Fields(Fields { fields })),
            ..NewRecord::default()
        });
    }
}

impl Memory {
    fn fields(&self) -> Vec<Field> {
        let ratio =
            |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        vec![
            count("system.memory.total", self.total),
            count("system.memory.used.bytes", self.used),
            number("system.memory.used.pct", ratio(self.used, self.total)),
            count("system.memory.swap.total", self.swap_total),
            count("system.memory.swap.used.bytes", self.swap_used),
            number("system.memory.swap.used.pct", ratio(self.swap_used, self.swap_total)),
        ]
    }
}

impl Filesystem {
    fn fields(&self) -> Vec<Field> {
        vec![
            text("system.filesystem.mount_point", self.mount_point.as_str()),
            text("system.filesystem.device_name", self.device.as_str()),
            text("system.filesystem.type", self.kind.as_str()),
            count("system.filesystem.total", self.total),
            count("system.filesystem.available", self.available),
            number("system.filesystem.used.pct", self.used_ratio),
        ]
    }
}

impl Network {
    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![
            text("system.network.name", self.name.as_str()),
            count("system.network.in.bytes", self.in_bytes),
            count("system.network.out.bytes", self.out_bytes),
            count("system.network.in.errors", self.in_errors),
            count("system.network.out.errors", self.out_errors),
        ];
        fields.extend(self.in_dropped.map(|dropped| count("system.network.in.dropped", dropped)));
        fields
    }
}

impl Process {
    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![
            text("process.name", self.name.as_str()),
            integer("process.pid", i64::from(self.pid)),
            number("process.cpu.pct", self.ratio),
            count("process.memory.rss.bytes", self.resident),
        ];
        fields.extend(self.executable.as_deref().map(|path| text("process.executable", path)));
        fields.extend(self.user.as_deref().map(|user| text("user.name", user)));
        fields
    }
}

/// A counter; what does not fit is its largest.
fn count(name: &str, value: u64) -> Field {
    integer(name, i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hengwei_protocol::wire::field::Value;

    fn sample() -> Sample {
        Sample {
            processor: Processor { ratio: 1.02, cores: 4 },
            load: Some([0.5, 0.25, 0.125]),
            memory: Memory { total: 100, used: 25, swap_total: 0, swap_used: 0 },
            filesystems: vec![Filesystem {
                mount_point: "/".into(),
                total: 10,
                ..Filesystem::default()
            }],
            disks: vec![Disk { name: "sda".into(), read_bytes: u64::MAX, write_bytes: 1 }],
            networks: vec![Network {
                name: "eth0".into(),
                in_dropped: Some(3),
                ..Network::default()
            }],
            processes: vec![Process { name: "a\nb".into(), pid: 9, ..Process::default() }],
        }
    }

    /// `dataset name=value …` of every record.
    fn lines(sample: &Sample) -> Vec<String> {
        let line = |record: &NewRecord| {
            assert_eq!((record.time, record.created), (7, 7));
            let Some(Body::Fields(fields)) = &record.body else { panic!("typed") };
            let words: Vec<String> = fields
                .fields
                .iter()
                .map(|field| match field.value.as_ref().unwrap() {
                    Value::Text(text) if field.name == "event.dataset" => text.clone(),
                    Value::Text(text) => format!("{}={text:?}", field.name),
                    Value::Integer(integer) => format!("{}={integer}", field.name),
                    Value::Number(number) => format!("{}={number}", field.name),
                    Value::Flag(flag) => format!("{}={flag}", field.name),
                })
                .collect();
            words.join(" ")
        };
        sample.records(7).iter().map(line).collect()
    }

    #[test]
    fn a_sample_becomes_one_record_per_thing() {
        assert_eq!(
            lines(&sample()),
            [
                "perf.cpu system.cpu.total.norm.pct=1 system.cpu.cores=4",
                "perf.load system.load.1=0.5 system.load.5=0.25 system.load.15=0.125",
                "perf.memory system.memory.total=100 system.memory.used.bytes=25 system.memory.used.pct=0.25 system.memory.swap.total=0 system.memory.swap.used.bytes=0 system.memory.swap.used.pct=0",
                "perf.filesystem system.filesystem.mount_point=\"/\" system.filesystem.device_name=\"\" system.filesystem.type=\"\" system.filesystem.total=10 system.filesystem.available=0 system.filesystem.used.pct=0",
                "perf.disk system.diskio.name=\"sda\" system.diskio.read.bytes=9223372036854775807 system.diskio.write.bytes=1",
                "perf.network system.network.name=\"eth0\" system.network.in.bytes=0 system.network.out.bytes=0 system.network.in.errors=0 system.network.out.errors=0 system.network.in.dropped=3",
                "perf.process process.name=\"a\\nb\" process.pid=9 process.cpu.pct=0 process.memory.rss.bytes=0",
            ]
        );
    }

    #[test]
    fn what_could_not_be_measured_is_left_out() {
        let sample = Sample { load: None, ..Sample::default() };
        let lines = lines(&sample);
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}
