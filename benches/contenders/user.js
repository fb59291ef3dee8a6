// What both Node consumers make of an event, and how they bring it in.
'use strict';

exports.durable = { writeConcern: { w: 'majority', journal: true } };

// Replaces the user if the version is lower than this one, or inserts it.
exports.updateOf = function updateOf(body) {
  const { data } = JSON.parse(body);
  const user = {
    _id: data.id,
    username: data.username,
    email: data.email,
    city: data.address.city,
    v: data.version,
  };
  const guarded = { $cond: [{ $lt: ['$v', user.v] }, { $literal: user }, '$$ROOT'] };
  return { filter: { _id: user._id }, update: [{ $replaceWith: guarded }], upsert: true };
};

const DUPLICATE_KEY = 11000;

// Two writes may insert the same user at once; then one of them goes round again.
exports.insisting = async function insisting(write) {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      if (error.code !== DUPLICATE_KEY) throw error;
    }
  }
};

exports.fail = function fail(error) {
  console.error(error);
  process.exit(1);
};
