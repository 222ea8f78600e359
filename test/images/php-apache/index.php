<?php
session_start();
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
header('Content-Type: text/plain');
echo 'php says ', 6 * 7, ', visit ', $_SESSION['visits'], "\n";
