//! `evquery admin influx`: what must be there before evwindow can write to a server, made where it is missing.
//!
//! Each command says what is there and what it does; done twice, it does nothing the second time.

use std::ffi::OsString;

use anyhow::{Context, anyhow};
use clap::Subcommand;

use crate::cli::about;
use crate::cli::exit::{ExitCode, ReportContext, printable};
use crate::cli::flags;
use crate::cli::influx::{InfluxArgs, explained};
use crate::source::address::{Address, InfluxAddress};
use crate::store::influx::admin::{Admin, Bucket};
use crate::store::influx::{InfluxError, form};
use crate::time::Duration;

/// Where.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// influx://HOST:PORT/ORG/BUCKET; influx: is what $INFLUX_HOST, $INFLUX_ORG and $INFLUX_BUCKET name
    #[arg(value_name = "ADDRESS", default_value = "influx:")]
    address: OsString,
}

/// How long points and roll-ups are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct Ages {
    /// How long points are kept: 90d
    #[arg(long, value_name = "AGE", default_value = "90d", value_parser = flags::age)]
    hot: Duration,

    /// How long roll-ups are kept: 1y
    #[arg(long, value_name = "AGE", default_value = "1y", value_parser = flags::age)]
    cold: Duration,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// `evquery admin influx`.
#[derive(Debug, Clone, Subcommand)]
pub enum InfluxCommand {
    /// Make what is missing: the first user of a new server, the organisation, the bucket and that of the roll-ups
    Setup {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        ages: Ages,
    },
    /// Make the bucket and that of the roll-ups where they are missing, in an organisation that is there
    Bucket {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        ages: Ages,
    },
    /// Change how long points and roll-ups are kept
    Retention {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        ages: Ages,
    },
    /// Ask how the server fares, and whether the buckets are there
    Health {
        #[command(flatten)]
        place: Place,
    },
}

/// The user that a new server gets; nobody logs in by it.
const USER: &str = "evkit";

/// The server keeps nothing for less.
const AGE_MIN: Duration = Duration(3_600_000_000);

/// Runs a command.
pub fn run(command: &InfluxCommand, server: &InfluxArgs) -> anyhow::Result<ExitCode> {
    let (place, ages) = match command {
        InfluxCommand::Setup { place, ages }
        | InfluxCommand::Bucket { place, ages }
        | InfluxCommand::Retention { place, ages } => (place, Some(ages)),
        InfluxCommand::Health { place } => (place, None),
    };
    let wishes = ages.map(Wishes::of).transpose()?;
    let address = match Address::parse(&place.address).exit_code(ExitCode::Usage)? {
        Address::Influx(address) => address,
        other => {
            return Err(anyhow!("cannot administer '{other}': it is no bucket of InfluxDB"))
                .hint("write influx://HOST:PORT/ORG/BUCKET")
                .exit_code(ExitCode::Usage);
        }
    };
    let client = server.client(&address)?;
    let address = client.target().address.clone();
    let admin = in_words(Admin::new(client))?;
    let plan = Plan { admin, address };
    match (command, &wishes) {
        (InfluxCommand::Setup { .. }, Some(wishes)) => plan.set_up(wishes),
        (InfluxCommand::Bucket { .. }, Some(wishes)) => plan.make_buckets(wishes, &plan.buckets(wishes)),
        (InfluxCommand::Retention { .. }, Some(wishes)) => plan.retain(wishes),
        _ => plan.health(),
    }
}

/// How long is kept, in seconds.
struct Wishes {
    hot: u64,
    cold: u64,
    dry_run: bool,
}

impl Wishes {
    fn of(ages: &Ages) -> anyhow::Result<Wishes> {
        let refuse = |flag: &str, age: Duration, cause: &str| {
            Err(anyhow!("cannot take --{flag} '{age}': {cause}")).exit_code(ExitCode::Usage)
        };
        for (flag, age) in [("hot", ages.hot), ("cold", ages.cold)] {
            if age < AGE_MIN {
                return refuse(flag, age, "InfluxDB keeps points for an hour at least");
            }
        }
        if ages.hot > ages.cold {
            return refuse("hot", ages.hot, &format!("it is longer than --cold '{}'", ages.cold));
        }
        let seconds = |age: Duration| age.0.unsigned_abs() / 1_000_000;
        Ok(Wishes { hot: seconds(ages.hot), cold: seconds(ages.cold), dry_run: ages.dry_run })
    }
}

struct Plan {
    admin: Admin,
    address: InfluxAddress,
}

impl Plan {
    fn set_up(&self, wishes: &Wishes) -> anyhow::Result<ExitCode> {
        let InfluxAddress { org, bucket, .. } = &self.address;
        if in_words(self.admin.is_new())? {
            tell(&format!(
                "server: new; {} the user '{USER}' with the token given",
                will(wishes, "makes", "would make")
            ))?;
            if wishes.dry_run {
                tell(&format!("organisation '{org}': would be made"))?;
                for (name, seconds) in self.buckets(wishes) {
                    tell(&format!("bucket '{name}': would be made, keeping {}", age(Some(seconds))))?;
                }
                return Ok(ExitCode::Ok);
            }
            if in_words(self.admin.set_up(USER, bucket, wishes.hot))? {
                tell(&format!("organisation '{org}': made"))?;
                tell(&format!("bucket '{bucket}': made, keeping {}", age(Some(wishes.hot))))?;
                let [_, rolled] = self.buckets(wishes);
                return self.make_buckets(wishes, &[rolled]);
            }
            tell("server: somebody else has set it up meanwhile")?;
        }
        if in_words(self.admin.organisation_soon(org))?.is_none() {
            if wishes.dry_run {
                tell(&format!("organisation '{org}': would be made"))?;
                for (name, seconds) in self.buckets(wishes) {
                    tell(&format!("bucket '{name}': would be made, keeping {}", age(Some(seconds))))?;
                }
                return Ok(ExitCode::Ok);
            }
            let is_ours = in_words(self.admin.make_organisation(org))?;
            tell(&format!("organisation '{org}': {}", if is_ours { "made" } else { "is there" }))?;
        } else {
            tell(&format!("organisation '{org}': is there"))?;
        }
        self.make_buckets(wishes, &self.buckets(wishes))
    }

    fn make_buckets(&self, wishes: &Wishes, buckets: &[(String, u64)]) -> anyhow::Result<ExitCode> {
        let id = self.organisation()?;
        for (name, seconds) in buckets {
            let seconds = *seconds;
            let mut found = in_words(self.admin.bucket(&id, name))?;
            if found.is_none() && !wishes.dry_run {
                if in_words(self.admin.make_bucket(&id, name, seconds))? {
                    tell(&format!("bucket '{name}': made, keeping {}", age(Some(seconds))))?;
                    continue;
                }
                found = in_words(self.admin.bucket(&id, name))?;
            }
            match found {
                Some(Bucket { kept, .. }) if kept == Some(seconds) => {
                    tell(&format!("bucket '{name}': is there, keeping {}", age(kept)))?;
                }
                Some(Bucket { kept, .. }) => {
                    let wish = age(Some(seconds));
                    tell(&format!(
                        "bucket '{name}': is there, keeping {}; `evquery admin influx retention` makes it {wish}",
                        age(kept)
                    ))?;
                }
                None if wishes.dry_run => {
                    tell(&format!("bucket '{name}': would be made, keeping {}", age(Some(seconds))))?
                }
                None => {
                    return Err(anyhow!(
                        "cannot make the bucket '{name}': somebody else has made it and dropped it again"
                    ))
                    .exit_code(ExitCode::Upstream);
                }
            }
        }
        Ok(ExitCode::Ok)
    }

    fn retain(&self, wishes: &Wishes) -> anyhow::Result<ExitCode> {
        let id = self.organisation()?;
        for (name, seconds) in self.buckets(wishes) {
            let found = in_words(self.admin.bucket(&id, &name))?;
            let found = found
                .with_context(|| format!("there is no bucket '{name}' in the organisation '{}'", self.address.org))
                .hint(format!("evquery admin influx bucket {} makes it", self.address))
                .exit_code(ExitCode::Upstream)?;
            if found.kept == Some(seconds) {
                tell(&format!("bucket '{name}': keeps {}, as is wished", age(found.kept)))?;
                continue;
            }
            if !wishes.dry_run {
                in_words(self.admin.retain(&found, seconds))?;
            }
            tell(&format!(
                "bucket '{name}': {} {}; was {}",
                will(wishes, "keeps", "would keep"),
                age(Some(seconds)),
                age(found.kept)
            ))?;
        }
        Ok(ExitCode::Ok)
    }

    fn health(&self) -> anyhow::Result<ExitCode> {
        let health = in_words(self.admin.health())?;
        let version = health.version.map_or_else(String::new, |version| format!(" ({version})"));
        tell(&format!("server: {}{version}", health.message))?;
        let mut is_well = health.is_well;
        let InfluxAddress { org, bucket, .. } = &self.address;
        match in_words(self.admin.organisation(org))? {
            None => {
                is_well = false;
                tell(&format!("organisation '{org}': is missing"))?;
            }
            Some(id) => {
                tell(&format!("organisation '{org}': is there"))?;
                for name in [bucket.clone(), form::roll_ups_of(bucket)] {
                    let found = in_words(self.admin.bucket(&id, &name))?;
                    is_well &= found.is_some();
                    tell(&match found {
                        Some(found) => format!("bucket '{name}': is there, keeping {}", age(found.kept)),
                        None => format!("bucket '{name}': is missing"),
                    })?;
                }
            }
        }
        match is_well {
            true => Ok(ExitCode::Ok),
            false => Err(anyhow!("'{}' is not ready to be written to", self.address))
                .hint(format!("evquery admin influx setup {} makes what is missing", self.address))
                .exit_code(ExitCode::Upstream),
        }
    }

    /// The number of the organisation.
    fn organisation(&self) -> anyhow::Result<String> {
        let org = &self.address.org;
        in_words(self.admin.organisation(org))?
            .with_context(|| format!("there is no organisation '{org}', or the token may not see it"))
            .hint(format!("evquery admin influx setup {} makes it", self.address))
            .exit_code(ExitCode::Upstream)
    }

    /// The buckets, and how many seconds each keeps points.
    fn buckets(&self, wishes: &Wishes) -> [(String, u64); 2] {
        let bucket = &self.address.bucket;
        [(bucket.clone(), wishes.hot), (form::roll_ups_of(bucket), wishes.cold)]
    }
}

fn will<'a>(wishes: &Wishes, does: &'a str, would: &'a str) -> &'a str {
    if wishes.dry_run { would } else { does }
}

fn age(seconds: Option<u64>) -> String {
    match seconds {
        Some(seconds) => {
            Duration(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1_000_000)).to_string()
        }
        None => "for ever".to_owned(),
    }
}

fn tell(line: &str) -> anyhow::Result<()> {
    Ok(about::print(printable(&format!("{line}\n")).as_bytes())?)
}

fn in_words<T>(result: Result<T, InfluxError>) -> anyhow::Result<T> {
    result.map_err(explained)
}
