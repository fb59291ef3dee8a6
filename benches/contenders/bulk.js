// Node as one would write it who knows how: what has arrived is written together, 500 at most, two batches under way,
// guarded and durable, and acknowledged together.
'use strict';

const amqp = require('amqplib');
const { MongoClient } = require('mongodb');
const { durable, fail, insisting, updateOf } = require('./user');

const BATCH = 500;
const IN_FLIGHT = 2;

async function main() {
  const { RABBITMQ_URL, QUEUE, MONGODB_URL, DATABASE, COLLECTION } = process.env;
  const client = await MongoClient.connect(MONGODB_URL, durable);
  const users = client.db(DATABASE).collection(COLLECTION);
  const connection = await amqp.connect(RABBITMQ_URL);
  const channel = await connection.createChannel();
  await channel.prefetch(BATCH * IN_FLIGHT * 2);

  let waiting = [];
  let scheduled = false;
  let inFlight = 0;
  const owed = [];

  function work() {
    scheduled = false;
    while (inFlight < IN_FLIGHT && waiting.length > 0) {
      const messages = waiting.slice(0, BATCH);
      waiting = waiting.slice(BATCH);
      const batch = { last: messages[messages.length - 1], written: false };
      owed.push(batch);
      inFlight += 1;
      write(users, messages.map(message => updateOf(message.content))).then(() => {
        inFlight -= 1;
        batch.written = true;
        acknowledge();
        work();
      }, fail);
    }
  }

  function acknowledge() {
    let last;
    while (owed.length > 0 && owed[0].written) last = owed.shift().last;
    if (last) channel.ack(last, true);
  }

  // What a read from the socket brings comes one message after the other; then all of it is there.
  await channel.consume(QUEUE, message => {
    waiting.push(message);
    if (!scheduled) {
      scheduled = true;
      setImmediate(work);
    }
  });
}

function write(users, updates) {
  const operations = updates.map(update => ({ updateOne: update }));
  return insisting(() => users.bulkWrite(operations, { ordered: false }));
}

main().catch(fail);
