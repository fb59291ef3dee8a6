//! Publishes what rules have others told.

use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::topology::{refused, short};
use super::wire::Wire;
use super::{Address, Options, SourceError};
use crate::replication::Alert;
use crate::source::{LogError, Outlet};

/// How long the broker may take to confirm some messages.
const CONFIRMING: Duration = Duration::from_secs(30);
/// Messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// A connection for what goes out, made when it is needed, and again when it is lost.
pub struct Publisher {
    address: Address,
    options: Options,
    open: Mutex<Option<(Wire, Channel)>>,
}

impl Publisher {
    /// Prepares it; nothing is asked of the broker yet.
    pub fn new(options: Options) -> Result<Self, SourceError> {
        Ok(Self { address: options.checked()?, options, open: Mutex::new(None) })
    }

    async fn connect(&self) -> Result<(Wire, Channel), SourceError> {
        let Options { service, ca, connect_timeout, .. } = &self.options;
        let name = format!("nearcopy {service}/rules");
        let wire = Wire::dial(&self.address, &name, ca.clone(), *connect_timeout).await?;
        let channel = wire.channel().await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirming.map_err(|cause| refused(&wire, "publish by", &"a channel".into(), cause))?;
        Ok((wire, channel))
    }

    async fn send(&self, alerts: &[Alert]) -> Result<(), SourceError> {
        let mut open = self.open.lock().await;
        let (wire, channel) = match open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        let late = |_| SourceError::Silent { place: wire.place(), after: CONFIRMING };
        let sent =
            timeout(CONFIRMING, all(&wire, &channel, alerts)).await.map_err(late).and_then(|sent| sent);
        if sent.is_ok() {
            *open = Some((wire, channel));
        } else {
            wire.close().await;
        }
        sent
    }
}

#[async_trait]
impl Outlet for Publisher {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), LogError> {
        self.send(alerts).await.map_err(|error| LogError { class: error.class(), reason: error.report() })
    }
}

async fn all(wire: &Wire, channel: &Channel, alerts: &[Alert]) -> Result<(), SourceError> {
    let mut confirms = Vec::new();
    for alert in alerts {
        let exchange = short("exchange", &alert.exchange)?;
        let key = short("routing key", &alert.routing_key)?;
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(alert.id.to_string().into())
            .with_type(ShortString::try_new(alert.kind.as_str()).unwrap_or_default());
        let options = BasicPublishOptions::default();
        let body = alert.body.as_bytes();
        let sent = channel.basic_publish(exchange.clone(), key, options, body, properties).await;
        confirms.push((sent.map_err(|cause| refused(wire, "publish to", &exchange, cause))?, exchange));
    }
    for (confirm, exchange) in confirms {
        let confirmed = confirm.await.map_err(|cause| refused(wire, "publish to", &exchange, cause))?;
        if !confirmed.is_ack() {
            return Err(SourceError::Unconfirmed { exchange: exchange.to_string(), place: wire.place() });
        }
    }
    Ok(())
}
