import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;

/** java.net.HttpURLConnection. */
class UrlConnection {
    public static void main(String[] arguments) throws Exception {
        Urls.each(arguments, url -> {
            HttpURLConnection http = (HttpURLConnection) URI.create(url).toURL().openConnection();
            if (Urls.BODY != null) {
                http.setDoOutput(true);
                http.getOutputStream().write(Urls.BODY.getBytes());
            }
            InputStream body = http.getResponseCode() < 400 ? http.getInputStream() : http.getErrorStream();
            try (body) {
                return body.readAllBytes();
            }
        });
    }
}
