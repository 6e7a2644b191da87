//! Buckets among evwindow's outputs: which metrics each takes, and that these can stand there.

use anyhow::anyhow;

use crate::cli::evwindow::FormatArg;
use crate::cli::evwindow::config::Output;
use crate::cli::exit::{ExitCode, ReportContext};
use crate::cli::points::PointArgs;
use crate::pipeline::points::BucketConfig;
use crate::plan::Plan;
use crate::source::address::{Address, InfluxAddress};
use crate::store::Catalogue;
use crate::store::influx::writer::{misread_name, reason_against, reserved_column};

/// `--to influx://…`.
#[derive(Debug, Clone)]
pub struct Bucket {
    address: InfluxAddress,
    /// What the metrics are by number; `None` of those that are not for it.
    catalogues: Vec<Option<Catalogue>>,
}

impl Bucket {
    /// Takes the buckets out of the outputs.
    pub fn among(outputs: &mut Vec<Output>, plan: &Plan, args: &PointArgs) -> anyhow::Result<Vec<Bucket>> {
        let mut buckets = Vec::new();
        for output in outputs.extract_if(.., |output| matches!(output.address, Address::Influx(_))) {
            let Address::Influx(address) = output.address else { continue };
            let metrics = plan.texts.iter().zip(&plan.schemas).zip(&plan.queries).zip(&output.metrics);
            let catalogues = metrics
                .map(|(((text, schema), query), takes)| takes.then(|| Catalogue::of(text, schema, &query.functions)));
            let catalogues: Vec<Option<Catalogue>> = catalogues.collect();
            for catalogue in catalogues.iter().flatten() {
                if let Some(reason) = reason_against(catalogue, args.point_time()) {
                    return Err(anyhow!("cannot write '{}' to '{address}': {reason}", catalogue.name))
                        .hint("--point-time end lets growing windows stand apart")
                        .exit_code(ExitCode::Usage);
                }
                if let Some(column) = reserved_column(catalogue) {
                    let name = &catalogue.name;
                    return Err(anyhow!(
                        "cannot write '{name}' to '{address}': InfluxDB keeps the name '{column}' to itself"
                    ))
                    .hint(format!("give the column another one: '… AS {}_'", column.trim_start_matches('_')))
                    .exit_code(ExitCode::Usage);
                }
                if let Some(name) = misread_name(catalogue) {
                    return Err(anyhow!(
                        "cannot write '{}' to '{address}': InfluxDB misreads the name '{name}', which has a backslash before a blank, \
                         a comma, '=' or its end",
                        catalogue.name
                    ))
                    .hint("give it another one, by --name or AS")
                    .exit_code(ExitCode::Usage);
                }
            }
            buckets.push(Bucket { address, catalogues });
        }
        Ok(buckets)
    }

    /// How it is written to: reads the token.
    pub fn config(&self, args: &PointArgs, queries: &[Vec<(String, String)>]) -> anyhow::Result<BucketConfig> {
        Ok(BucketConfig {
            target: args.server.target(&self.address)?,
            patience: args.server.patience(),
            catalogues: self.catalogues.clone(),
            queries: queries.to_vec(),
            settings: args.settings(),
        })
    }
}

/// Refuses for a bucket what is no line protocol.
pub fn check_format(address: &Address, format: Option<FormatArg>) -> anyhow::Result<()> {
    match (address, format) {
        (Address::Influx(_), Some(format)) if format != FormatArg::LineProtocol => {
            Err(anyhow!("cannot take --format with --to '{address}': InfluxDB takes line protocol"))
                .hint("leave --format out")
                .exit_code(ExitCode::Usage)
        }
        _ => Ok(()),
    }
}
