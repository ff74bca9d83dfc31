import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.apache.hc.core5.http.io.support.ClassicRequestBuilder;

/** Apache HttpClient 5, the classic one. */
class ApacheHttpClient {
    public static void main(String[] arguments) throws Exception {
        CloseableHttpClient client = HttpClients.createDefault();
        Urls.each(arguments, url -> {
            ClassicRequestBuilder request = ClassicRequestBuilder.create(Urls.BODY == null ? "GET" : "POST");
            if (Urls.BODY != null) request.setEntity(Urls.BODY);
            return client.execute(request.setUri(url).build(),
                response -> response.getEntity() == null ? new byte[0] : EntityUtils.toByteArray(response.getEntity()));
        });
    }
}
