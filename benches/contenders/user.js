// What both Node consumers make of an event.
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
