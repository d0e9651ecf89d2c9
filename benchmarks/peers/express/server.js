'use strict'
// The Express peer: merged reads and naive writes of beats over pg, mongodb and redis. One worker a core.
const cluster = require('cluster')
const workers = Number(process.env.WORKERS || require('os').cpus().length)

if (cluster.isMaster) {
  for (let index = 0; index < workers; index++) cluster.fork()
  cluster.on('exit', () => process.exit(1))
} else {
  serve().catch(error => { console.error(error); process.exit(1) })
}

async function serve () {
  const express = require('express')
  const { Pool, types } = require('pg')
  const { MongoClient, Binary, Long } = require('mongodb')
  const redis = require('redis').createClient({ url: process.env.REDIS_URL })
  redis.on('error', error => console.error(error.message))
  types.setTypeParser(20, Number)

  // The principal is set once for the connection, which is cheaper than once a transaction, as the gateway has to.
  const postgres = new Pool({ connectionString: process.env.POSTGRES_URL, max: 8 })
  const mongo = await MongoClient.connect(process.env.MONGO_URI, { useUnifiedTopology: true, poolSize: 8 })
  await redis.connect()
  const database = mongo.db(process.env.MONGO_DATABASE)
  const [beats, analytics, index] = ['beats', 'beat_analytics', 'search_index'].map(name => database.collection(name))

  const core = `SELECT b.id, b.version, b.status, b.title, b.description, b.price::float8, b.currency, b.price_basic::float8,
      b.price_premium::float8, b.price_exclusive::float8, b.is_featured, b.created_at, b.updated_at,
      u.id AS creator_id, u.username, u.display_name, u.avatar_url, u.is_verified
    FROM beats b JOIN users u ON u.id = b.creator_id WHERE b.status = 'published' AND `
  const content = { metadata: 1, 'audio.previewUrl': 1, 'audio.format': 1, artwork: 1, collaborators: 1 }
  const listed = { 'metadata.bpm': 1, 'metadata.key': 1, 'metadata.genre': 1, 'metadata.mood': 1, 'metadata.tags': 1,
    'metadata.duration': 1, 'metadata.album': 1, 'audio.previewUrl': 1, 'audio.format': 1, artwork: 1 }
  const totals = { plays: 1, likes: 1, downloads: 1, shares: 1 }

  const binary = id => new Binary(Buffer.from(id.replace(/-/g, ''), 'hex'), 4)
  const text = id => id.buffer.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  const known = value => value === null ? undefined : value

  function merge (row, document, counts) {
    return {
      id: row.id, version: row.version, status: row.status, title: row.title, description: known(row.description),
      creator: {
        id: row.creator_id, username: row.username, displayName: known(row.display_name),
        avatarUrl: known(row.avatar_url), isVerified: row.is_verified
      },
      price: known(row.price), currency: row.currency,
      licenseTypes: { basic: known(row.price_basic), premium: known(row.price_premium), exclusive: known(row.price_exclusive) },
      isFeatured: row.is_featured,
      metadata: document?.metadata, audio: document?.audio, artwork: document?.artwork,
      collaborators: document?.collaborators?.map(credit => ({ ...credit, userId: credit.userId && text(credit.userId) })),
      stats: {
        plays: counts?.plays ?? 0, likes: counts?.likes ?? 0, downloads: counts?.downloads ?? 0, shares: counts?.shares ?? 0
      },
      createdAt: row.created_at, updatedAt: row.updated_at
    }
  }

  async function detail (id) {
    const key = binary(id)
    const [found, document, counts] = await Promise.all([
      postgres.query({ name: 'beat', text: core + 'b.id = $1', values: [id] }),
      beats.findOne({ _id: key }, { projection: content }),
      analytics.findOne({ _id: key }, { projection: totals })
    ])
    return found.rows.length ? JSON.stringify(merge(found.rows[0], document, counts)) : null
  }

  // 404 is an answer too, but none that is cached.
  async function cachedDetail (id) {
    const cached = await redis.get(`express:beat:${id}`)
    if (cached !== null) return cached
    const body = await detail(id)
    if (body !== null) await redis.set(`express:beat:${id}`, body, { EX: 300 })
    return body
  }

  const range = (bounds, scale = 1) => bounds && {
    ...(bounds.min && { $gte: Number(bounds.min) * scale }), ...(bounds.max && { $lte: Number(bounds.max) * scale })
  }
  const sorts = { title: 'titleKey', createdAt: 'createdAt', price: 'price', popularity: 'popularity' }

  async function browse (query) {
    const filter = {
      ...(query.genre && { genreKey: query.genre.toLowerCase() }), ...(query.mood && { moodKey: query.mood.toLowerCase() }),
      ...(query.tags && { tags: query.tags.toLowerCase() }), ...(query.key && { key: query.key }),
      ...(query.bpm && { bpm: range(query.bpm) }), ...(query.price && { price: range(query.price, 100) })
    }
    const direction = query.sortOrder === 'asc' ? 1 : -1
    const sort = { [sorts[query.sortBy] || 'createdAt']: direction, _id: direction }
    const limit = Math.min(Number(query.limit) || 20, 100)
    const [hits, count] = await Promise.all([
      index.find(filter, { projection: { _id: 1 } }).sort(sort).limit(limit).toArray(),
      index.countDocuments(filter, { limit: 10001 })
    ])
    const keys = hits.map(hit => hit._id)
    const ids = keys.map(text)
    const [rows, documents, counts] = await Promise.all([
      postgres.query({ name: 'beats', text: core + 'b.id = ANY($1::uuid[])', values: [ids] }),
      beats.find({ _id: { $in: keys } }, { projection: listed }).toArray(),
      analytics.find({ _id: { $in: keys } }, { projection: totals }).toArray()
    ])
    const rowOf = new Map(rows.rows.map(row => [row.id, row]))
    const documentOf = new Map(documents.map(document => [text(document._id), document]))
    const countsOf = new Map(counts.map(count => [text(count._id), count]))
    return {
      items: ids.filter(id => rowOf.has(id)).map(id => merge(rowOf.get(id), documentOf.get(id), countsOf.get(id))),
      page: { limit, total: Math.min(count, 10000), totalIsExact: count <= 10000 }
    }
  }

  // The naive dual write: the stores one after the other, each durably. Whoever dies between the two leaves half a beat, and nothing knows.
  const durable = { writeConcern: { w: 'majority', j: true } }
  const insert = `INSERT INTO beats (id, creator_id, title, description, price_basic, price_premium, price_exclusive)
    VALUES ($1, kababeat_user(), $2, $3, $4, $5, $6) RETURNING version, created_at, updated_at`
  const change = `UPDATE beats SET title = coalesce($2, title), description = coalesce($3, description),
      price_basic = coalesce($4, price_basic), price_premium = coalesce($5, price_premium),
      price_exclusive = coalesce($6, price_exclusive), version = version + 1, updated_at = now()
    WHERE id = $1 RETURNING version, title, created_at, updated_at`
  const values = (id, { title, description, licenseTypes = {} }) =>
    [id, title, description, licenseTypes.basic, licenseTypes.premium, licenseTypes.exclusive]

  async function create (beat) {
    const id = require('crypto').randomUUID()
    const { rows: [row] } = await postgres.query({ name: 'insert', text: insert, values: values(id, beat) })
    await beats.insertOne({ _id: binary(id), v: Long.fromNumber(row.version), metadata: beat.metadata }, durable)
    return { id, ...row, ...beat }
  }

  async function update (id, edit) {
    const { rows: [row] } = await postgres.query({ name: 'change', text: change, values: values(id, edit) })
    if (!row) return null
    const fields = Object.entries(edit.metadata || {}).map(([name, value]) => [`metadata.${name}`, value])
    const changed = { $set: { v: Long.fromNumber(row.version), ...Object.fromEntries(fields) } }
    const { value } = await beats.findOneAndUpdate({ _id: binary(id) }, changed, { ...durable, returnOriginal: false })
    return { id, ...row, metadata: value?.metadata }
  }

  const app = express().disable('x-powered-by').set('etag', false)
  const uuid = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'
  app.get(`/api/beats/:id(${uuid})`, (request, response, next) => {
    const read = request.get('Cache-Control') === 'no-cache' ? detail : cachedDetail
    read(request.params.id).then(body => {
      if (body === null) response.status(404).json({ status: 404, code: 'not_found' })
      else response.type('json').send(body)
    }, next)
  })
  app.get('/api/beats', (request, response, next) => browse(request.query).then(page => response.json(page), next))
  app.post('/api/beats', express.json(), (request, response, next) =>
    create(request.body).then(beat => response.status(201).json(beat), next))
  app.patch(`/api/beats/:id(${uuid})`, express.json(), (request, response, next) =>
    update(request.params.id, request.body).then(beat => response.status(beat ? 200 : 404).json(beat), next))
  app.listen(Number(process.env.PORT), '127.0.0.1')
}
