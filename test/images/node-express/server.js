const fs = require('fs');
const path = require('path');
const express = require('express');

const file = path.join(__dirname, 'data', 'notes.json');
fs.mkdirSync(path.dirname(file), { recursive: true });
const notes = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : [];

const app = express();
app.use(express.text());
app.get('/', (req, res) => res.json({ notes }));
app.post('/', (req, res) => {
  notes.push(req.body);
  fs.writeFileSync(file, JSON.stringify(notes));
  res.status(201).json({ notes });
});
app.listen(process.env.PORT || 3000, () => console.log(`listening on ${process.env.PORT || 3000}`));
